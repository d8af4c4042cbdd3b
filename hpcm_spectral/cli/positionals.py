"""Paths on the command line of a Hydra program, as the overrides that they stand for."""

import difflib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

from hpcm_spectral.errors import ConfigError


def as_overrides(words: Sequence[str], names: Sequence[str], settings: Collection[str]) -> list[str]:
    """Words of a command line with paths turned into overrides of the settings ``names``.

    KEY=VALUE with a KEY that is none of the program's ``settings`` is a path, unless it looks like a slip.

    >>> as_overrides(["a b.pth.tar", "out=1/", "overwrite=true"], ["checkpoint", "output"], ["output", "overwrite"])
    ["checkpoint='a b.pth.tar'", "output='out=1/'", 'overwrite=true']

    Raises:
        ConfigError: There are more paths than names.
    """
    paths, rest = _paths_and_rest(words, settings)
    if len(paths) > len(names):
        raise ConfigError(
            f"{' and '.join(names)} must be {len(names)} paths, got {len(paths)}; quote one that has spaces."
        )
    # A setting that is given by name leaves the paths to the others.
    free = [name for name in names if not any(word.startswith(f"{name}=") for word in rest)]
    if len(paths) > len(free):
        raise ConfigError(f"{names[0]} and {names[-1]} must be given once each, got {paths[-1]} besides.")
    return [f"{name}={quoted(path)}" for name, path in zip(free, paths, strict=False)] + rest


def as_list_override(words: Sequence[str], name: str, settings: Collection[str]) -> list[str]:
    """Words of a command line with any number of paths turned into one override of ``name``, and values with = quoted.

    >>> as_list_override(["runs/a", "runs/b c", "baseline=phase1=off"], "runs", ["runs", "baseline"])
    ["runs=['runs/a','runs/b c']", "baseline='phase1=off'"]

    Raises:
        ConfigError: The setting is given by name besides.
    """
    paths, rest = _paths_and_rest(words, settings)
    rest = [_with_quoted_value(word, settings) for word in rest]
    if not paths:
        return rest
    if any(word.startswith(f"{name}=") for word in rest):
        raise ConfigError(f"{name} must be given once, got {paths[0]} besides; list all in {name}=[A,B].")
    return [f"{name}=[{','.join(map(quoted, paths))}]", *rest]


def quoted(text: str) -> str:
    r"""Text as a value of an override that Hydra reads back unchanged.

    >>> print(quoted("it's"))
    'it\'s'
    """
    # Hydra's quotes leave out interpolations; backslashes are literal unless they precede one or a quote.
    return QuotedString(re.sub(r"(\\*)(\$\{)", r"\1\1\\\2", text), Quote.single).with_quotes()


def _with_quoted_value(argument: str, settings: Collection[str]) -> str:
    """An override as it is, or with its value quoted where that, unquoted, holds what Hydra takes for a second one."""
    key, _, value = argument.partition("=")
    return f"{key}={quoted(value)}" if key in settings and "=" in value and value[0] not in "'\"[" else argument


def _paths_and_rest(words: Sequence[str], settings: Collection[str]) -> tuple[list[str], list[str]]:
    rest = [word for word in words if _is_override(word, settings)]
    return [word for word in words if word not in rest], rest


def _is_override(word: str, settings: Collection[str]) -> bool:
    key, equals, _ = word.partition("=")
    if word.startswith(("~", "+")) or (equals and (key in settings or re.match(r"hydra([./]|$)", key))):
        return True
    return bool(equals and not Path(word).exists() and difflib.get_close_matches(key, settings, n=1, cutoff=0.75))
