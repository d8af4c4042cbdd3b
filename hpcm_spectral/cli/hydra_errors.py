"""Hydra's errors as one sentence: the key, what it got, what fits."""

import difflib
import re
import sys
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException


def describe(error: Exception, config_folder: Path, config_name: str) -> str:
    """One sentence for an error of Hydra or OmegaConf.

    Args:
        error: What was raised while composing or reading the config.
        config_folder: Where the config lies.
        config_name: Its name, to find keys that resemble a mistyped one.
    """
    text = str(error)
    if isinstance(error, OverrideParseException):
        return (
            f"An override must read key=value, got {error.override!r}: {_first_sentence(error.message)}; "
            "quote special characters: 'key=\"value\"'."
        )
    if match := re.search(r"(?:In '.+?': )?Could not find '([^']+?)'", text):
        return _missing_option(match[1], text, error, config_folder)
    if match := re.search(r"Could not append to config\. An item is already at '([^']+)'", text):
        return f"{match[1]} is a setting already, got it with a +; leave out the +."
    if match := re.search(r"Could not delete from config\. (?:The value of )?'([^']+)'", text):
        return f"{match[1]} cannot be deleted, got it with a ~; set it to another value."
    if match := re.search(r"Could not (?:override|append|delete|use) '?([^'\s]+)'?", text):
        return _unknown_key(match[1].split("=")[0].lstrip("+~"), config_folder, config_name)
    if "BasicSweeper does not support sweep type" in text:
        return "A sweep must list its values, got an interval; list them, or search it with hydra/sweeper=optuna."
    if match := re.search(r"Multiple values for ([^.\s]+)", text):
        return f"{match[1]} must be chosen once, got several; separate values by commas only with --multirun."
    if match := re.search(r"Ambiguous value for argument '([^']+)'", text):
        key = match[1].split("=")[0]
        return f"{key} lists several values, which needs --multirun (-m); quote it if the comma is part of it."
    key = getattr(error, "full_key", None)
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    sentence = _first_sentence(str(cause))
    return f"{key} cannot be used: {sentence}." if key else f"{sentence}."


def _missing_option(name: str, text: str, error: Exception, config_folder: Path) -> str:
    group, _, option = name.rpartition("/")
    options = getattr(error, "options", None) if isinstance(error, MissingConfigException) else None
    options = options or re.findall(r"^\t(\S+)$", text, re.MULTILINE)
    if not options and (config_folder / group).is_dir():
        options = sorted(path.stem for path in (config_folder / group).glob("*.yaml"))
    close = difflib.get_close_matches(option, options, n=1)
    hint = f"; did you mean {close[0]}?" if close else "."
    return f"{group or 'config'} must be one of {', '.join(options) or 'the known files'}, got {option}{hint}"


def _unknown_key(key: str, config_folder: Path, config_name: str) -> str:
    group, _, inner = key.partition(".")
    if inner == "_target_":
        return f"{key} is not a setting while {group} is off; add it with +{key}=VALUE."
    known = _known_keys(config_folder, config_name)
    if not any(name.startswith(f"{group}.") for name in known):
        for path in sorted((config_folder / group).glob("*.yaml")):
            if inner.split(".")[0] in OmegaConf.load(path):
                return f"{key} is not a setting while {group} is off; choose {group}={path.stem}."
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else "--cfg job shows them all; +key=value adds an option of a class."
    return f"{key} is not a setting; {hint}"


def _known_keys(config_folder: Path, config_name: str) -> list[str]:
    GlobalHydra.instance().clear()
    # The groups as chosen: their options have settings of their own.
    choices = [word for word in sys.argv[1:] if (config_folder / word.partition("=")[0]).is_dir()]
    try:
        with initialize_config_dir(str(config_folder), version_base="1.3"):
            return _flatten(OmegaConf.to_container(compose(config_name, choices)))  # type: ignore[arg-type]
    except (HydraException, OmegaConfBaseException, ValueError):
        return []


def _flatten(node: dict[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, child in node.items():
        keys.append(f"{prefix}{key}")
        if isinstance(child, dict):
            keys += _flatten(child, f"{prefix}{key}.")
    return keys


def _first_sentence(text: str) -> str:
    return (text.strip() or "it is malformed").splitlines()[0].rstrip(".")
