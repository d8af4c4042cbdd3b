"""Hydra's errors as one sentence: the key, what it got, what fits.

What is wrong is found by holding the overrides against the config groups and the composed config, as Hydra's errors
say it in words only.
"""

import contextlib
import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpcm_spectral.cli.command_line import CommandLine
from hpcm_spectral.errors import first_line, one_line

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def describe(error: Exception, line: CommandLine, config_name: str) -> str:
    """One sentence for an error of Hydra or OmegaConf about a config and the command line, as Hydra got it."""
    if isinstance(error, OverrideParseException):
        return (
            f"An override must read key=value, got {error.override!r}: {first_line(error)}; "
            "quote special characters: 'key=\"value\"'."
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        # Of a list of options Hydra names none.
        options = error.options or sorted(path.stem for path in _files(line, group))
        close = difflib.get_close_matches(option, options, n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        name = group or "--config-name"
        return f"{name} must be one of {', '.join(options) or 'the known files'}, got {option}{hint}"
    if isinstance(error, HydraException) and (found := _Overrides(line, config_name).first_problem()):
        return found
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    key = cause.full_key if isinstance(cause, OmegaConfBaseException) else None
    # Hydra breaks its lines within a sentence, OmegaConf adds others below.
    text = first_line(cause) if key or not isinstance(cause, HydraException) else one_line(cause).split(". ")[0]
    return f"{key} cannot be used: {text}." if key else f"{text}."


def _files(line: CommandLine, group: str) -> list[Path]:
    return [path for folder in line.folders() for path in sorted((folder / group).glob("*.yaml"))]


class _Overrides:
    """The overrides of a command line beside what the config knows."""

    def __init__(self, line: CommandLine, config_name: str) -> None:
        self.line = line
        self.given = line.overrides()
        self.config = self._composed(config_name)
        self.known = list(_keys(OmegaConf.to_container(self.config)))  # type: ignore[arg-type]
        self.groups = set(self._value("hydra.runtime.choices") or ())
        self.sweeps = line.flags.multirun or self._value("hydra.mode") is RunMode.MULTIRUN

    def _composed(self, config_name: str) -> DictConfig:
        # The groups as chosen, as their options have settings of their own, but for choices that do not fit.
        plain = (o for o in self.given if o.type is OverrideType.CHANGE and not o.is_sweep_override())
        choices = [str(o.input_line) for o in plain if self.line.is_group(o.key_or_group)]
        with contextlib.suppress(HydraException, OmegaConfBaseException, ValueError):
            return self.line.compose(config_name, choices)
        fitting: list[str] = []
        for choice in choices:
            fitting += [choice] if self.line.fits(config_name, [*fitting, choice]) else []
        with contextlib.suppress(HydraException, OmegaConfBaseException, ValueError):
            return self.line.compose(config_name, fitting)
        return DictConfig({})

    def _value(self, key: str) -> Any:
        return OmegaConf.select(self.config, key, throw_on_missing=False)

    def first_problem(self) -> str | None:
        """The first override that the config cannot take, as a sentence; None if there is none."""
        return next(filter(None, map(self._problem, self.given)), None) if self.known else None

    def _problem(self, override: Override) -> str | None:
        key, value = override.key_or_group, override.value()
        if override.is_sweep_override() and not self.sweeps:
            return f"{key} lists several values, which needs --multirun (-m); quote it if the comma is part of it."
        if override.is_interval_sweep() and self._value("hydra.sweeper._target_") == BASIC_SWEEPER:
            return "A sweep must list its values, got an interval; list them, or search it with hydra/sweeper=optuna."
        if override.is_delete():
            there = key in self.groups or (self._value(key) is not None and value in (None, self._value(key)))
            return None if there else f"{key} cannot be deleted, got it with a ~; set it to another value."
        if override.is_add():
            if override.get_key_element().removeprefix("+") in self.groups:
                return f"{key} is a group that has its place already, got it with a +; leave out the +."
            twice = self._value(key) is not None and not isinstance(value, dict | list)
            return f"{key} is a setting already, got it with a +; leave out the +." if twice else None
        element = override.get_key_element()
        if not override.is_force_add() and override.package is not None and element not in self.groups:
            return f"{element} is not chosen yet; {key}=OPTION chooses {key}, +{element}=OPTION adds another one there."
        if override.is_force_add() or key in self.known or key in self.groups:
            return None
        return self._unknown(key)

    def _unknown(self, key: str) -> str:
        group, _, inner = key.partition(".")
        if inner == "_target_":
            return f"{key} is not a setting while {group} is off; add it with +{key}=VALUE."
        if not any(name.startswith(f"{group}.") for name in self.known):
            for path in _files(self.line, group):
                if inner.split(".")[0] in OmegaConf.load(path):
                    return f"{key} is not a setting while {group} is off; choose {group}={path.stem}."
        if inner and "." not in inner and self._takes(group, inner):
            return f"{key} is an option of {group}'s class that is not set here; add it with +{key}=VALUE."
        own = [name for name in self.known if name.startswith("hydra.") == key.startswith("hydra.")]
        close = difflib.get_close_matches(key, own, n=1, cutoff=0.6)
        hint = (
            f"did you mean {close[0]}?" if close else "--cfg job shows them all; +key=value adds an option of a class."
        )
        return f"{key} is not a setting; {hint}"

    def _takes(self, group: str, name: str) -> bool:
        """Whether the class that a group names has an argument of this name."""
        target = self._value(f"{group}._target_")
        if target is None:
            return False
        from hpcm_spectral.config import constructor_parameters  # with torch, which Hydra's flags must not wait for

        with contextlib.suppress(Exception):  # whatever keeps it from being imported is told once the config fits
            return name in constructor_parameters(get_object(target))[0]
        return False


def _keys(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, child in node.items():
        yield f"{prefix}{key}"
        if isinstance(child, dict):
            yield from _keys(child, f"{prefix}{key}.")
