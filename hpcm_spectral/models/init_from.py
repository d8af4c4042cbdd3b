"""``init_from``: start a training from the weights of another codec."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.models.registry import family_of, weight_shapes
from hpcm_spectral.models.sources import CodecSource
from hpcm_spectral.models.weights import copy_into, shapes_of

log = logging.getLogger("hpcm_spectral")


def initialise(codec: Codec, source: CodecSource, model_options: Path) -> None:
    """Give the codec that the config names the weights of another.

    Args:
        codec: The model, as built from the config.
        source: The weights.
        model_options: The folder of the config group ``model``, where an option that fits may be found.

    Raises:
        ConfigError: Sizes differ, or an argument that no tensor shows and that the weights were trained for.
    """
    weights = source.weights
    ours, theirs = weight_shapes(codec), shapes_of(weights.tensors)
    for key in (*ours, *theirs):
        if ours.get(key) != theirs.get(key):
            raise ConfigError(
                f"init_from must fit the model, but {key} is {theirs.get(key, 'missing')} in {source} and "
                f"{ours.get(key, 'missing')} in the model; choose {_fitting(weights.arguments, codec, model_options)}."
            )
    family = family_of(weights.name)
    for name, value in weights.arguments.items() if family else ():
        own = codec.arguments.get(name)
        if family and name in family.of_training:
            continue
        if name in weights.unknown:
            log.warning("%s has no config.yaml beside it: its %s is taken to be %s.", source.path, name, own)
        elif value != own:
            raise ConfigError(
                f"model.{name} must be {value}, for which the weights of {source} were trained, got {own}; set "
                f"model.{name}={value}."
            )
    copy_into(codec.network, weights.tensors)


def _fitting(arguments: Mapping[str, Any], codec: Codec, model_options: Path) -> str:
    """What to choose on the command line for a model of these sizes: by them alone, if other arguments are text."""
    sizes = {name: value for name, value in arguments.items() if not isinstance(value, str | float)}
    changes = {name: value for name, value in sizes.items() if codec.arguments.get(name) != value}
    if len(changes) == 1 and all(type(value) is int for value in changes.values()):
        return " ".join(f"model.{name}={value}" for name, value in changes.items())
    for path in sorted(model_options.glob("*.yaml")):
        option = OmegaConf.to_container(OmegaConf.load(path))
        if isinstance(option, dict) and all(option.get(name) == value for name, value in sizes.items()):
            return f"model={path.stem}"
    return " ".join(f"model.{name}={str(value).lower().replace(' ', '')}" for name, value in changes.items())
