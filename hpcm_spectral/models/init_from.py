"""``init_from``: start a training from the weights of another codec."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import nn

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.models.sources import CodecSource
from hpcm_spectral.models.weights import copy_into, parameter_shapes

log = logging.getLogger("hpcm_spectral")
ORDER = "hyper_prior_order"


def initialise(codec: nn.Module, source: CodecSource, model_options: Path) -> None:
    """Give the codec that the config names the weights of another.

    Args:
        codec: The model, as built from the config.
        source: The weights.
        model_options: The folder of the config group ``model``, where an option that fits may be found.

    Raises:
        ConfigError: Sizes differ, or the order of the hyper prior, which the weights were trained for.
    """
    arguments, own_arguments = source.weights.arguments, getattr(codec, "arguments", {})
    ours, theirs = parameter_shapes(codec), {key: tuple(value.shape) for key, value in source.weights.tensors.items()}
    for key in (*ours, *theirs):
        if ours.get(key) != theirs.get(key):
            raise ConfigError(
                f"init_from must fit the model, but {key} is {theirs.get(key, 'missing')} in {source} and "
                f"{ours.get(key, 'missing')} in the model; choose {_fitting(arguments, own_arguments, model_options)}."
            )
    order, own_order = arguments[ORDER], own_arguments.get(ORDER)
    if not source.order_known:
        log.warning("%s has no config.yaml beside it: its %s is taken to be %s.", source.path, ORDER, own_order)
    elif order != own_order:
        raise ConfigError(
            f"model.{ORDER} must be {order}, for which the weights of {source} were trained, got {own_order}; set "
            f"model.{ORDER}={order}."
        )
    copy_into(codec, source.weights.tensors)


def _fitting(arguments: Mapping[str, Any], own_arguments: Mapping[str, Any], model_options: Path) -> str:
    """What to choose on the command line for a model of these sizes."""
    sizes = {name: value for name, value in arguments.items() if name != ORDER}
    for path in sorted(model_options.glob("*.yaml")):
        option = OmegaConf.to_container(OmegaConf.load(path))
        if isinstance(option, dict) and all(option.get(name) == value for name, value in sizes.items()):
            return f"model={path.stem}"
    changes = {name: value for name, value in sizes.items() if own_arguments.get(name) != value}
    return " ".join(f"model.{name}={str(value).lower().replace(' ', '')}" for name, value in changes.items())
