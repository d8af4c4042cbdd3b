"""Runs that differ by their seed only, and the baseline among them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.reports.comparison.names import all_different, common_label
from hpcm_spectral.reports.comparison.runs import ComparedRun
from hpcm_spectral.reports.comparison.settings import Settings, is_plain, readable, what_differs


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

    def reason_against(self, group: Group) -> str:
        """Why there is none."""
        return f"other {what_differs(self.groups[0].settings, group.settings)}"


def group_runs(runs: Sequence[ComparedRun]) -> list[Group]:
    """Runs by equal settings, in the order of their first."""
    found: dict[str, list[ComparedRun]] = {}
    for run in runs:
        found.setdefault(json.dumps(run.settings, sort_keys=True, default=str), []).append(run)
    labels = [
        common_label([run.name for run in group], "seed|s", [run.seed for run in group]) if group[1:] else group[0].name
        for group in found.values()
    ]
    return [Group(label, tuple(group)) for label, group in zip(all_different(labels), found.values(), strict=True)]


def choose_baseline(groups: Sequence[Group], wanted: str | None) -> Baseline | None:
    """The baseline that is asked for, or the groups without any stage, or the first; None if no run has finished.

    Args:
        groups: All of them.
        wanted: A run's or a group's name, a run folder, or ``KEY=VALUE`` of a setting.

    Raises:
        ConfigError: No finished run is what is asked for.
    """
    usable = [group for group in groups if group.finished]
    if wanted is not None:
        chosen = _asked_for(groups, wanted)
        if not chosen:
            labels = ", ".join(group.label for group in groups[:8]) + ", ..." * (len(groups) > 8)
            raise ConfigError(
                f"baseline must be a run's name or folder, or KEY=VALUE of a setting, got {wanted}, which is none of "
                f"{labels}."
            )
        if not (finished := [group for group in chosen if group.finished]):
            raise ConfigError(
                f"baseline must be a finished run, got {wanted}, whose state is {chosen[0].runs[0].state}."
            )
        return Baseline(tuple(finished), f"as asked for with baseline={wanted}")
    if not usable:
        return None
    if plain := [group for group in usable if is_plain(group.settings)]:
        return Baseline(tuple(plain), "the runs with phase 1 and phase 2 off")
    return Baseline((usable[0],), "the first, as no finished run has both phases off")


def _asked_for(groups: Sequence[Group], wanted: str) -> list[Group]:
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
