"""The configs that a benchmark compares: sets of overrides on top of the command's own, or its stages."""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpcm_spectral.build import build_stages
from hpcm_spectral.cli.benchmark_settings import of_run, without_stages
from hpcm_spectral.cli.command_line import CommandLine
from hpcm_spectral.cli.hydra_errors import describe
from hpcm_spectral.config import check_config, plain
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.training.module import BASELINE

COMPARE = "compare"
# What a set cannot change, as it is of the whole benchmark.
COMMON = ("benchmark", "kind", "repeats", "device", "memory", "output", "hydra", COMPARE)
FORM = f'write {COMPARE}="[[seed=1],[seed=2,channels_last=true]]", or +{COMPARE}.NAME="KEY=VALUE ..."'


@dataclass(frozen=True)
class Compared:
    """One of the configs.

    Args:
        name: Its name, by default its overrides.
        overrides: What it sets besides the command.
        config: All of it, plain.
    """

    name: str
    overrides: tuple[str, ...]
    config: dict[str, Any]


def compose_each(compare: Sequence[Any] | Mapping[str, Any]) -> list[Compared]:
    """Compose what ``compare`` names.

    Args:
        compare: Sets of overrides: each a list, or a text of several as on a command line; by names, or in a row.

    Raises:
        ConfigError: It is of another form, or a set does not fit the config; the message names it.
    """
    given = list(compare.values() if isinstance(compare, Mapping) else compare)
    sets = [_words(words) for words in given]
    names = list(compare) if isinstance(compare, Mapping) else [" ".join(words) or "as given" for words in sets]
    if not sets or len(set(names)) < len(names):
        got = f"{next(name for name in names if names.count(name) > 1)} twice" if sets else "nothing"
        raise ConfigError(f"{COMPARE} must hold sets of overrides that differ, got {got}; {FORM}.")
    return [_composed(str(name), words) for name, words in zip(names, sets, strict=True)]


def each_stage_alone(config: dict[str, Any]) -> list[Compared]:
    """A config without any stage, and with each of its stages alone.

    Raises:
        ConfigError: It has none.
    """
    without = without_stages(config)
    stages = build_stages(check_config(of_run(config)))
    if not stages:
        raise ConfigError(
            "phase1 or phase2 must be on to be measured, got off for both; turn one on, or name configs in compare."
        )
    compared = [Compared(BASELINE, (), without)]
    for key, stage in stages.items():
        group, _, name = key.partition(".")
        alone = {name: config[group][name]} if name else config[group]
        taken = stage.phase in (each.name for each in compared)
        compared.append(Compared(key if taken else stage.phase, (), without | {group: alone}))
    return compared


def _words(given: Any) -> list[str]:
    try:
        words = shlex.split(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ConfigError(f"{COMPARE} must hold sets of overrides, got {given!r}: {error}; {FORM}.") from None
    if words is None:
        return []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{COMPARE} must hold sets of overrides, got {given!r}; {FORM}.")
    return words


def _composed(name: str, words: list[str]) -> Compared:
    flags = CommandLine.parse(sys.argv[1:]).flags
    own = CommandLine(flags, words)
    own.quote_values()
    # The command's, as Hydra took them: those of one job where it runs several.
    line = CommandLine(flags, [*HydraConfig.get().overrides.task])
    line.words = [word for word, o in zip(line.words, line.overrides(), strict=True) if _first(o) != COMPARE]
    line.words += own.words
    try:
        if common := [o.key_or_group for o in own.overrides() if _first(o) in COMMON]:
            raise ConfigError(
                f"{COMPARE} must leave {common[0]} alone, which is of all configs together, got it in {name}; set it "
                "outside."
            )
        config_name = flags.config_name or "benchmark"
        composed = line.compose(config_name, line.words)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        problem = describe(error, line, flags.config_name or "benchmark")
        raise ConfigError(f"{COMPARE} must hold sets that fit the config, but of {name}: {problem}") from None
    kept = [str(key) for key in composed if key != "hydra"]
    config = OmegaConf.masked_copy(composed, kept)
    assert isinstance(config, DictConfig)
    try:
        return Compared(name, tuple(words), plain(config))
    except ConfigError as error:
        raise ConfigError(f"{COMPARE} must hold sets that fit the config, but of {name}: {error}") from None


def _first(override: Any) -> str:
    return re.split("[./]", str(override.key_or_group))[0]
