"""The keys of the published HPCM checkpoints, and loading such a state dict."""

import re
from collections.abc import Mapping

import torch

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models.hpcm.model import HPCM
from hpcm_spectral.models.hpcm.variants import HPCM_Base, HPCM_Large

# Coding tables and constants, which this package computes itself.
_IGNORED = re.compile(
    r"(scale_table|(quantized_cdf|cdf_length|offset)_[yz]"
    r"|entropy_estimation\.(beta|(scale|likelihood)_lower_bound\.bound))$"
)
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


def from_published(state_dict: Mapping[str, torch.Tensor]) -> HPCM:
    """HPCM-Base, HPCM-Large or HPCM-Base without cross attention from a published state dict.

    Per-step gains may be missing (checkpoints made before 2026) and then stay at one; ``module.`` prefixes and
    filled coding tables are accepted.

    Args:
        state_dict: Tensors by published key.

    Returns:
        The codec, with the published order of the hyper prior.

    Raises:
        CheckpointError: A key is unknown, missing or of another shape; the first such key is named.
    """
    tensors = {key.removeprefix("module."): value for key, value in state_dict.items()}
    model = _variant_of(tensors)
    name = type(model).__name__ + ("" if model.arguments["cross_attention"] else " without cross attention")
    own_keys = {published: own for own, published in published_keys(model).items()}
    own = model.state_dict()
    for key, value in tensors.items():
        if _IGNORED.match(key):
            continue
        if key not in own_keys:
            raise CheckpointError(f"Every key of a checkpoint of {name} must be a published one, got {key!r}.")
        expected = tuple(own[own_keys[key]].shape)
        if not isinstance(value, torch.Tensor) or tuple(value.shape) != expected:
            got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise CheckpointError(f"{key!r} must have shape {expected} in a checkpoint of {name}, got {got}.")
        own[own_keys[key]] = value
    for key in own_keys:
        if key not in tensors and not key.startswith("adaptive_params_list."):
            raise CheckpointError(f"A checkpoint of {name} must hold {key!r}, which is missing.")
    model.load_state_dict(own)
    return model


def _variant_of(tensors: Mapping[str, torch.Tensor]) -> HPCM:
    if any(key.startswith("g_a.branch.12.") for key in tensors):
        return HPCM_Large()
    return HPCM_Base(cross_attention=any(key.startswith("attn_s") for key in tensors))
