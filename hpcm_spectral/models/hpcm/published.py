"""The keys of the published HPCM checkpoints, and loading such a state dict."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from hpcm_spectral.models.hpcm.model import HPCM
from hpcm_spectral.models.hpcm.presets import HPCM_Base, HPCM_Large
from hpcm_spectral.models.weights import CodecWeights, shapes_of, translated, weights_of, without_prefix

_TABLE_RANKS = {"quantized_cdf": 2, "cdf_length": 1, "offset": 1}
# Coding tables and constants, which this package computes itself: dimensions of a table that is filled, or a shape.
_UNUSED: dict[str, tuple[int, ...] | int] = {
    "scale_table": 1,
    **{f"{name}_{latent}": rank for latent in "zy" for name, rank in _TABLE_RANKS.items()},
    "entropy_estimation.beta": (1,),
    "entropy_estimation.scale_lower_bound.bound": (1,),
    "entropy_estimation.likelihood_lower_bound.bound": (1,),
}
# The published code uses the adaptors of scales 2 and 3 in these orders.
_ADAPTORS = (("s1", 0), *(("s2", k) for k in (2, 0, 1)), *(("s3", k) for k in (5, 0, 1, 2, 3, 4)))
_TRANSFORM_LAYERS = {"mixer.conv": "branch.0.pconv", "expand": "branch.1", "contract": "branch.3"}
_CONTEXT_LAYERS = {"mixer": "branch.0", "expand": "branch.1", "contract": "branch.3"}


def published_keys(model: HPCM) -> dict[str, str]:
    """The published key of every parameter of ``model``, by its key here."""
    return {key: _published_key(key, model) for key, _ in model.named_parameters()}


def _published_key(key: str, model: HPCM) -> str:
    if match := re.fullmatch(r"(g_a|g_s|h_a|h_s)\.(\d+)\.(?:(.+)\.)?(weight|bias)", key):
        part, place, layer, kind = match.groups()
        inner = f".{_TRANSFORM_LAYERS[layer]}" if layer else ""
        return f"{part}.branch.{place}{inner}.{kind}"
    if match := re.fullmatch(r"context\.net_(coarse|fine)\.(before|after|out)\.(?:(\d+)\.(.+)\.)?(weight|bias)", key):
        net, part, place, layer, kind = match.groups()
        prefix = f"y_spatial_prior_{'s1_s2' if net == 'coarse' else 's3'}"
        if part == "out":
            return f"{prefix}.branch_2.{model.arguments[f'context_depths_{net}'][1]}.{kind}"
        return f"{prefix}.{'branch_1' if part == 'before' else 'branch_2'}.{place}.{_CONTEXT_LAYERS[layer]}.{kind}"
    if match := re.fullmatch(r"context\.adaptors\.(\d+)\.(weight|bias)", key):
        scale, place = _ADAPTORS[int(match[1])]
        return f"y_spatial_prior_adaptor_list_{scale}.{place}.{match[2]}"
    if match := re.fullmatch(r"context\.gains\.(\d+)", key):
        return f"adaptive_params_list.{match[1]}"
    if match := re.fullmatch(r"context\.attention\.(\d+)\.(.+)", key):
        return f"attn_s{int(match[1]) + 1}.{match[2]}"
    if match := re.fullmatch(r"context\.between\.(\d+)\.(.+)", key):
        return f"context_net.{match[1]}.{match[2]}"
    return key


def is_published(state_dict: Mapping[Any, Any]) -> bool:
    """Whether keys of a published HPCM are among those of a state dict."""
    keys = (key.removeprefix("module.") for key in state_dict if isinstance(key, str))
    return any(key.startswith(("g_a.branch.", "g_s.branch.", "h_s.branch.", "y_spatial_prior_")) for key in keys)


def translate_published(state_dict: Mapping[Any, Any]) -> CodecWeights:
    """HPCM-Base, HPCM-Large or HPCM-Base without cross attention from a published state dict, not yet built.

    The per-step gains may be missing as a whole (checkpoints made before 2026) and then stay at one; ``module.``
    prefixes and filled coding tables are accepted. The order of the hyper prior is the published one.

    Raises:
        CheckpointError: A key is unknown or missing, its tensor of another shape or not finite; the first such key is
            named.
    """
    tensors = without_prefix(state_dict)
    title, build, arguments = _variant_of(tensors)
    with torch.device("meta"):
        model = build(**arguments)
    shapes = shapes_of(weights_of(model))
    own_keys = {published: own for own, published in published_keys(model).items()}
    gains = {key for key in own_keys if key.startswith("adaptive_params_list.")}
    gains_missing = gains.isdisjoint(tensors)
    names = {key: own for key, own in own_keys.items() if not (gains_missing and key in gains)}
    found = translated(tensors, names, shapes, _UNUSED, f"a checkpoint of {title}")
    if gains_missing:
        found |= {own_keys[key]: torch.ones(shapes[own_keys[key]]) for key in gains}
    notes = ("its per-step gains are missing, as in checkpoints made before 2026, and are set to one",) * gains_missing
    return CodecWeights(model.name, model.arguments, found, notes)


def _variant_of(tensors: Mapping[str, Any]) -> tuple[str, Callable[..., HPCM], dict[str, bool]]:
    if any(key.startswith("g_a.branch.12.") for key in tensors):
        return "HPCM-Large", HPCM_Large, {"cross_attention": True}
    attention = any(key.startswith("attn_s") for key in tensors)
    return f"HPCM-Base{'' if attention else ' without cross attention'}", HPCM_Base, {"cross_attention": attention}
