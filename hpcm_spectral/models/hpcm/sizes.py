"""The sizes of an HPCM from its state dict."""

import itertools
from collections.abc import Mapping
from typing import Any

import torch


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
