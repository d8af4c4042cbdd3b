"""Runs that differ by their seed only, what else differs between runs, and the baseline among them."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.names import printable
from hpcm_spectral.reports.comparison.compared_runs import OFF, ComparedRun, Settings, all_different

ABSENT, NOT_ASKED = "absent", "-"
# A validation loss compares between runs that share these.
COMPARABLE = ("loss", "data", "model")
STAGES = ("phase1", "phase2", "stages")


class Group(NamedTuple):
    """Runs, at least one, whose configs are equal apart from the seed."""

    label: str
    runs: tuple[ComparedRun, ...]

    @property
    def settings(self) -> Settings:
        """What all of them train."""
        return self.runs[0].settings

    @property
    def finished(self) -> tuple[ComparedRun, ...]:
        """Those whose final figures are final."""
        return tuple(run for run in self.runs if run.finished)


class Baseline(NamedTuple):
    """What the others are compared with: the first of the groups that their validation compares with.

    ``why`` says how they were chosen, as half a sentence.
    """

    groups: tuple[Group, ...]
    why: str

    def of(self, group: Group) -> Group | None:
        """The baseline of a group; None if none has its loss, data and model."""
        return next((base for base in self.groups if what_differs(base.settings, group.settings) is None), None)


def group_runs(runs: Sequence[ComparedRun]) -> list[Group]:
    """Runs by equal settings, in the order of their first."""
    found: dict[str, list[ComparedRun]] = {}
    for run in runs:
        found.setdefault(settings_key(run.settings), []).append(run)
    labels = [
        common_label([run.name for run in group], "seed|s", [run.seed for run in group]) if group[1:] else group[0].name
        for group in found.values()
    ]
    return [Group(label, tuple(group)) for label, group in zip(all_different(labels), found.values(), strict=True)]


def settings_key(settings: Settings) -> str:
    """The same text for equal settings."""
    return json.dumps(settings, sort_keys=True, default=str)


def common_label(names: Sequence[str], keys: str, values: Sequence[object]) -> str:
    """What the names of several runs share without the setting in which they differ.

    ``keys`` is a pattern of what the setting may be called there, ``values`` its value in each run. The first name with
    an ellipsis if they share nothing.

    >>> common_label(["full-s1", "full-s2"], "seed|s", [1, 2])
    'full'
    >>> common_label(["seed=1,tau=0.1", "seed=2,tau=0.1"], "seed|s", [1, 2])
    'tau=0.1'
    """
    stripped = set()
    for name, value in zip(names, values, strict=True):
        token = rf"(^|[,_\- /])(?:(?:{keys})[=_\-]?)?{re.escape(str(value))}(?=$|[,_\- /])"
        stripped.add(re.sub(token, "", name).strip(",_- /"))
    start = os.path.commonprefix(list(names))  # noqa: RUF071  of the letters, not of a path
    return (stripped.pop() if len(stripped) == 1 else start.rstrip(",_-. /=")) or f"{names[0]}, …"


def choose_baseline(groups: Sequence[Group], wanted: str | None) -> Baseline | None:
    """The baseline that is asked for, or the groups without any stage, or the first; None if no run has finished.

    Args:
        groups: All of them.
        wanted: A run's or a group's name, a run folder, or ``KEY=VALUE`` of a setting.

    Raises:
        ConfigError: No finished run is what is asked for.
    """
    chosen = groups if wanted is None else _asked_for(groups, wanted)
    finished = tuple(group for group in chosen if group.finished)
    if wanted is None:
        if plain := tuple(group for group in finished if _is_plain(group.settings)):
            return Baseline(plain, "the runs with phase 1 and phase 2 off")
        return Baseline(finished[:1], "the first, as no finished run has both phases off") if finished else None
    if not chosen:
        labels = ", ".join(group.label for group in groups[:8]) + ", ..." * (len(groups) > 8)
        raise ConfigError(
            f"baseline must be a run's name or folder, or KEY=VALUE of a setting, got {wanted}, which is none of "
            f"{labels}."
        )
    if not finished:
        raise ConfigError(f"baseline must be a finished run, got {wanted}, whose state is {chosen[0].runs[0].state}.")
    return Baseline(finished, f"as asked for with baseline={wanted}")


def _asked_for(groups: Sequence[Group], wanted: str) -> Sequence[Group]:
    path = Path(wanted).expanduser().resolve()
    by_name = [
        group
        for group in groups
        if wanted == group.label
        or any(wanted in (run.name, run.path.name) or run.path.resolve() == path for run in group.runs)
    ]
    key, equals, value = wanted.partition("=")
    if by_name or not equals:
        return by_name
    return [group for group in groups if key in group.settings and _is(group.settings[key], value)]


def _is(setting: object, text: str) -> bool:
    try:
        return readable(setting) == text or bool(setting == yaml.safe_load(text))
    except yaml.YAMLError:
        return False


def _is_plain(settings: Settings) -> bool:
    """Whether every stage is switched off."""
    return all(value in (OFF, None) for key, value in settings.items() if key.partition(".")[0] in STAGES)


def what_differs(one: Settings, other: Settings, groups: Sequence[str] = COMPARABLE) -> str | None:
    """The first group in which two runs differ, so that their validation does not compare; None if it does."""
    differing = {key.partition(".")[0] for key in (*one, *other) if one.get(key, ABSENT) != other.get(key, ABSENT)}
    return next((group for group in groups if group in differing), None)


def differing(runs: Sequence[Settings]) -> dict[str, list[str]]:
    """For every key that has not one value in all runs, its values, for people; classes without their module.

    What a run does not have because its group is off differs from nothing. The order is that of the configs.
    """
    table = {}
    for key in dict.fromkeys(key for settings in runs for key in settings):
        values = [_value(settings, key) for settings in runs]
        different = set(map(repr, values))
        if len(different - {repr(NOT_ASKED)}) < 2:
            continue
        short = [readable(value) for value in values]
        # Classes of two modules can share a name.
        table[key] = short if len(set(short)) == len(different) else [str(value) for value in values]
    return table


def _value(settings: Settings, key: str) -> Any:
    if key in settings:
        return settings[key]
    parents = [key[:dot] for dot, letter in enumerate(key) if letter == "."]
    return NOT_ASKED if any(settings.get(parent, ABSENT) in (OFF, None) for parent in parents) else ABSENT


def readable(value: Any) -> str:
    """A setting's value for people.

    >>> readable([16, 0.5]), readable(None), readable(True), readable("hpcm_spectral.losses.RateDistortionLoss")
    ('16, 0.5', 'null', 'true', 'RateDistortionLoss')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return ", ".join(map(readable, value)) or "none"
    if isinstance(value, float):
        return f"{value:.10g}"
    text = printable(value)
    return text.rpartition(".")[2] if re.fullmatch(r"[a-z_]\w*(\.\w+)*\.[A-Z]\w*", text) else text
