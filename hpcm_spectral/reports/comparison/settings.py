"""Settings of runs beside each other: which differ, and whether runs compare at all."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpcm_spectral.flatten import flatten

Settings = Mapping[str, Any]
OFF, ABSENT, NOT_ASKED = "off", "absent", "-"
# What says where a run writes and how it is watched, not what it trains.
IGNORED_GROUPS = ("hydra", "paths", "logger", "resume", "sweep", "diagnostics")
IGNORED_KEYS = ("seed", "data.num_workers", "data.cache_mb", "data.pin_memory", "trainer.log_every_n_steps")
# A validation loss compares between runs that share these.
COMPARABLE = ("loss", "data", "model")
LMBDA = "loss.lmbda"
STAGES = ("phase1", "phase2", "stages")


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say what is trained, by dotted key, without the seed.

    A group's class stands under the group's own name, which is ``off`` for an empty group. What repeats another
    setting, such as ``phase1.schedule.tau_init`` that of ``schedule.tau_init``, is left out.
    """
    flat = flatten(config)
    kept = {}
    for key, value in flat.items():
        group, _, rest = key.partition(".")
        if group in IGNORED_GROUPS or key in IGNORED_KEYS or (rest in flat and flat[rest] == value):
            continue
        kept[key.removesuffix("._target_")] = OFF if value == {} else value
    return kept


def differing(runs: Sequence[Settings]) -> dict[str, list[str]]:
    """For every key that has not one value in all runs, its values, for people; classes without their module.

    What a run does not have because its group is off differs from nothing. The order is that of the configs.
    """
    table = {}
    for key in dict.fromkeys(key for settings in runs for key in settings):
        values = [_value(settings, key) for settings in runs]
        if len(set(map(repr, values)) - {repr(NOT_ASKED)}) < 2:
            continue
        short = [readable(value) for value in values]
        # Classes of two modules can share a name.
        same = len(set(short)) == len(set(map(repr, values)))
        table[key] = short if same else [str(value) for value in values]
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
    text = str(value)
    return text.rpartition(".")[2] if re.fullmatch(r"[a-z_]\w*(\.\w+)*\.[A-Z]\w*", text) else text


def is_plain(settings: Settings) -> bool:
    """Whether every stage is switched off."""
    return all(value in (OFF, None) for key, value in settings.items() if key.partition(".")[0] in STAGES)


def what_differs(one: Settings, other: Settings, groups: Iterable[str] = COMPARABLE) -> str | None:
    """The first group in which two runs differ, so that their validation does not compare; None if it does."""
    for group in groups:
        keys = {key for key in (*one, *other) if key.partition(".")[0] == group}
        if any(one.get(key, ABSENT) != other.get(key, ABSENT) for key in keys):
            return group
    return None
