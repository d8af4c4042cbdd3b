"""The sizes of an HPCM: which are possible, and which a state dict shows."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hpcm_spectral.errors import SettingError
from hpcm_spectral.models.hpcm.attention import HEAD_CHANNELS

# What tells the registered codecs apart; cross attention and the order of the hyper prior are options of each.
SIZES: Mapping[str, Mapping[str, Any]] = {
    "hpcm-base": {},
    "hpcm-large": {"depths": (2, 2, 8), "context_depths_coarse": (2, 2), "context_depths_fine": (4, 3)},
    "hpcm-tiny": {"latent_channels": 40, "hyper_channels": 32, "widths": (16, 32, 64)},
}
DEFAULTS: Mapping[str, Any] = {
    "latent_channels": 320,
    "hyper_channels": 256,
    "widths": (96, 192, 384),
    "depths": (2, 2, 4),
    "context_depths_coarse": (2, 1),
    "context_depths_fine": (3, 2),
}


def registered_name(arguments: Mapping[str, Any]) -> str:
    """The name whose sizes these are; ``hpcm`` for sizes of one's own."""

    def has(sizes: Mapping[str, Any]) -> bool:
        expected = {key: list(v) if isinstance(v, tuple) else v for key, v in {**DEFAULTS, **sizes}.items()}
        return all(arguments[key] == value for key, value in expected.items())

    return next((name for name, sizes in SIZES.items() if has(sizes)), "hpcm")


def checked_arguments(**arguments: Any) -> dict[str, Any]:
    """All constructor arguments of :class:`HPCM` as plain values.

    Raises:
        ValueError: A number is outside its range; the message starts with the argument's name.
    """
    _check_multiple("latent_channels", arguments["latent_channels"], 2 * HEAD_CHANNELS)
    _check_multiple("hyper_channels", arguments["hyper_channels"], 4)
    for name, length in (("widths", 3), ("depths", 3), ("context_depths_coarse", 2), ("context_depths_fine", 2)):
        values = arguments[name] = list(arguments[name])
        _check_length(name, values, length)
        if name == "widths":
            for width in values:
                _check_multiple(name, width, 4)
        elif min(values) < 0:
            raise SettingError(name, f"must not be negative, got {values}.")
    order = arguments["hyper_prior_order"]
    if order not in ("published", "aligned"):
        raise SettingError("hyper_prior_order", f"must be published or aligned, got {order!r}.")
    return arguments


def infer_arguments(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Constructor arguments of :class:`HPCM` from the names and shapes of its state dict.

    Raises:
        KeyError: A tensor that every HPCM has is missing.
    """
    g_a = [state_dict[key] for key in _convolutions(state_dict, "g_a")]

    def blocks(prefix: str) -> int:
        return len({key[len(prefix) :].split(".")[0] for key in state_dict if key.startswith(prefix)})

    return {
        "latent_channels": g_a[-1].shape[0],
        "hyper_channels": state_dict["means_hyper"].shape[1],
        "widths": [weight.shape[0] for weight in g_a[:-1]],
        "depths": _depths(state_dict),
        "context_depths_coarse": [blocks(f"context.net_coarse.{part}.") for part in ("before", "after")],
        "context_depths_fine": [blocks(f"context.net_fine.{part}.") for part in ("before", "after")],
        "cross_attention": blocks("context.attention.") > 0,
    }


def _convolutions(state_dict: Mapping[str, torch.Tensor], part: str) -> list[str]:
    """Weights of the resampling convolutions of a transform, in order: ``part.INDEX.weight``."""
    keys = [key for key in state_dict if key.startswith(f"{part}.") and key.count(".") == 2 and key.endswith(".weight")]
    return sorted(keys, key=lambda key: int(key.split(".")[1]))


def _depths(state_dict: Mapping[str, torch.Tensor]) -> list[int]:
    """Residual blocks between the convolutions of g_a."""
    places = [int(key.split(".")[1]) for key in _convolutions(state_dict, "g_a")]
    return [following - place - 1 for place, following in itertools.pairwise(places)]


def _check_multiple(name: str, value: int, multiple: int) -> None:
    if value <= 0 or value % multiple:
        raise SettingError(name, f"must be a positive multiple of {multiple}, got {value}.")


def _check_length(name: str, values: Sequence[int], length: int) -> None:
    if len(values) != length:
        raise SettingError(name, f"must hold {length} numbers, got {len(values)}: {values}.")
