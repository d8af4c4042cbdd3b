"""The sizes of an HPCM: which are possible, and which a state dict shows."""

import itertools
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch

from hpcm_spectral.errors import SettingError
from hpcm_spectral.models.hpcm.attention import HEAD_CHANNELS

HyperPriorOrder = Literal["published", "aligned"]
ORDERS: tuple[str, ...] = get_args(HyperPriorOrder)

# What tells the registered codecs apart; cross attention and the order of the hyper prior are options of each.
BASE: Mapping[str, Any] = {
    "latent_channels": 320,
    "hyper_channels": 256,
    "widths": (96, 192, 384),
    "depths": (2, 2, 4),
    "context_depths_coarse": (2, 1),
    "context_depths_fine": (3, 2),
}
SIZES: Mapping[str, Mapping[str, Any]] = {
    "hpcm-base": BASE,
    "hpcm-large": {**BASE, "depths": (2, 2, 8), "context_depths_coarse": (2, 2), "context_depths_fine": (4, 3)},
    "hpcm-tiny": {**BASE, "latent_channels": 40, "hyper_channels": 32, "widths": (16, 32, 64)},
}


def registered_name(arguments: Mapping[str, Any]) -> str:
    """The name whose sizes these are; ``hpcm`` for sizes of one's own."""
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    return next((name for name, sizes in SIZES.items() if sizes.items() <= given.items()), "hpcm")


def checked_arguments(**arguments: Any) -> dict[str, Any]:
    """All constructor arguments of :class:`HPCM` as plain values.

    Raises:
        ValueError: A number is outside its range; the message starts with the argument's name.
    """
    for name in ("widths", "depths", "context_depths_coarse", "context_depths_fine"):
        values = arguments[name] = list(arguments[name])
        if len(values) != len(BASE[name]):
            raise SettingError(name, f"must hold {len(BASE[name])} numbers, got {len(values)}: {values}.")
        if name != "widths" and min(values) < 0:
            raise SettingError(name, f"must not be negative, got {values}.")
    channels = [("latent_channels", arguments["latent_channels"], 2 * HEAD_CHANNELS)]
    channels += [("hyper_channels", arguments["hyper_channels"], 4), *(("widths", w, 4) for w in arguments["widths"])]
    for name, value, multiple in channels:
        if value <= 0 or value % multiple:
            raise SettingError(name, f"must be a positive multiple of {multiple}, got {value}.")
    if (order := arguments["hyper_prior_order"]) not in ORDERS:
        raise SettingError("hyper_prior_order", f"must be {' or '.join(ORDERS)}, got {order!r}.")
    return arguments


def infer_arguments(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Constructor arguments of :class:`HPCM` from the names and shapes of its state dict.

    Raises:
        KeyError: A tensor that every HPCM has is missing.
    """

    def members(prefix: str) -> set[str]:
        return {key[len(prefix) :].split(".")[0] for key in state_dict if key.startswith(prefix)}

    def depths(net: str) -> list[int]:
        return [len(members(f"context.{net}.{part}.")) for part in ("before", "after")]

    # The convolutions of g_a lie between residual blocks, which have no weight of their own.
    places = sorted(int(place) for place in members("g_a.") if f"g_a.{place}.weight" in state_dict)
    *widths, latent_channels = (state_dict[f"g_a.{place}.weight"].shape[0] for place in places)
    return {
        "latent_channels": latent_channels,
        "hyper_channels": state_dict["means_hyper"].shape[1],
        "widths": widths,
        "depths": [following - place - 1 for place, following in itertools.pairwise(places)],
        "context_depths_coarse": depths("net_coarse"),
        "context_depths_fine": depths("net_fine"),
        "cross_attention": bool(members("context.attention.")),
    }
