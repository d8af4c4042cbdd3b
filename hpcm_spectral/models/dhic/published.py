"""The keys of the published DHIC checkpoints, loading such a state dict, and writing one."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models.dhic.blocks import TAPS
from hpcm_spectral.models.dhic.model import DHIC
from hpcm_spectral.models.dhic.prior import LOG_SCALE_MAX
from hpcm_spectral.models.dhic.sizes import Sizes
from hpcm_spectral.models.weights import CodecWeights, checked_tensor, shapes_of, translated, weights_of, without_prefix

OWNER = "a checkpoint of DHIC"
_BLOCK = {
    "enter": "pc1",
    "mixer.spatial": "mixer.conv",
    "mixer.point": "mixer.conv1",
    "mix": "pc2",
    "ffn.expand": "ffn.pw1",
    "ffn.contract": "ffn.pw2",
    "leave": "outlayer",
    "shortcut": "adaptor",
}
_FFN = {"expand": "pw1", "contract": "pw2"}
# Parts of a latent, of a merge and of the way up, by what they are called within these.
_PARTS = {
    "project": "z_proj",
    "prior": "prior",
    **{f"encoder_block.{own}": f"enc_resblock.{name}" for own, name in _BLOCK.items()},
    **{f"posterior.{own}": f"posterior.{name}" for own, name in _BLOCK.items()},
    **{f"block.{own}": f"merge.{name}" for own, name in _BLOCK.items()},
}
_TABLES = {"encoder_gain": "enc{}_lmb_embedding", "prior_gain": "em{}_lmb_embedding", "step": "z{}_scale_embedding"}
# Constants and coding tables beside each latent, which this package computes itself: a shape, or a filled table's rank.
_BESIDE_LATENTS: Mapping[str, tuple[int, ...] | int] = {
    "discrete_gaussian._offset": 1,
    "discrete_gaussian._quantized_cdf": 2,
    "discrete_gaussian._cdf_length": 1,
    "discrete_gaussian.likelihood_lower_bound.bound": (1,),
    "discrete_gaussian.lower_bound_scale.bound": (1,),
    "up_bound.bound": (1,),
}


def published_keys(model: DHIC) -> dict[str, str]:
    """The published key of every parameter of ``model``, by its key here."""
    places = _places(model.sizes)
    return {key: _published_key(key, places) for key, _ in model.named_parameters()}


def is_published(state_dict: Mapping[Any, Any]) -> bool:
    """Whether keys of a published DHIC are among those of a state dict."""
    keys = (key.removeprefix("module.") for key in state_dict if isinstance(key, str))
    return any(key.startswith(("em_blocks.", "dec_blocks.", "encoder.enc_blocks.")) for key in keys)


def translate_published(state_dict: Mapping[Any, Any]) -> CodecWeights:
    """DHIC from a published state dict, not yet built; ``module.`` prefixes and filled coding tables are accepted.

    Raises:
        CheckpointError: A key is unknown or missing, its tensor of another shape or not finite; the first such key is
            named.
    """
    with torch.device("meta"):
        model = DHIC()
    names = {published: own for own, published in published_keys(model).items()}
    constants = _constants(model.sizes)
    tensors = without_prefix(state_dict)
    found = translated(tensors, names, shapes_of(weights_of(model)), constants, OWNER)
    for key in constants:
        if key.endswith(".alfa") and (taps := checked_tensor(key, tensors[key], (3,), OWNER).tolist()) != list(TAPS):
            raise CheckpointError(f"{key!r} must be {list(TAPS)} in {OWNER}, got {taps}.")
    return CodecWeights(model.name, model.arguments, found)


def to_published(model: DHIC) -> dict[str, torch.Tensor]:
    """The state dict that the published code loads strictly; its coding tables are empty, as before they are made."""
    keys, own = published_keys(model), dict(model.named_parameters())
    values = {
        "alfa": torch.tensor(TAPS),
        "Phi": torch.outer(torch.tensor(TAPS), torch.tensor(TAPS)),
        "likelihood_lower_bound.bound": model.entropy_model.likelihood_lower_bound.bound,
        "lower_bound_scale.bound": model.entropy_model.lower_bound_scale.bound,
        "up_bound.bound": torch.tensor([LOG_SCALE_MAX]),
    }
    state = {published: own[key].detach() for key, published in keys.items()}
    for key in _constants(model.sizes):
        filled = next((value for end, value in values.items() if key.endswith(end)), None)
        state[key] = torch.empty(0, dtype=torch.int32) if filled is None else filled.clone()
    return state


def _places(sizes: Sizes) -> dict[str, str]:
    """Where the published lists of blocks hold what lies at a place here."""
    places: dict[str, str] = {}
    encoder = ["patches", *(f"stem.{i}" for i in range(sizes.stem_depth)), "enter"]
    for scale, depth in enumerate(reversed(sizes.encoder_depths)):
        # Before each way down the published list has an entry that only notes a feature.
        encoder += ["", f"down.{scale - 1}"] if scale else []
        encoder += [f"blocks.{scale}.{i}" for i in range(depth)]
    prior: list[str] = []
    decoder: list[str] = []
    for scale in range(sizes.scales):
        prior += [f"before.{scale}.{i}" for i in range(sizes.prior_depths_before[scale])] + [f"latents.{scale}"]
        if scale < sizes.scales - 1:
            prior += [f"after.{scale}.{i}" for i in range(sizes.prior_depths_after[scale])]
            prior += [f"up.{scale}.0", f"up.{scale}.2"]
        decoder += [f"up.{scale - 1}.0", f"up.{scale - 1}.2"] if scale else []
        decoder += [f"before.{scale}.{i}" for i in range(sizes.decoder_depths_before[scale])] + [f"merge.{scale}"]
        decoder += [f"after.{scale}.{i}" for i in range(sizes.decoder_depths_after[scale])]
    decoder.append("leave")
    lists = (
        ("encoder", "encoder.enc_blocks", encoder),
        ("prior", "em_blocks", prior),
        ("decoder", "dec_blocks", decoder),
    )
    for own, published, entries in lists:
        for number, entry in enumerate(entries):
            if entry:
                end = ".0" if re.fullmatch(r"up\.\d+\.0", entry) else ""
                places[f"{own}.{entry}"] = f"{published}.{number}{end}"
    return places


def _published_key(key: str, places: Mapping[str, str]) -> str:
    if match := re.fullmatch(r"(prior|decoder)\.bias", key):
        return "em_bias" if match[1] == "prior" else "dec_bias"
    if match := re.fullmatch(r"prior\.latents\.(\d+)\.(encoder_gain|prior_gain|step)\.log", key):
        return _TABLES[match[2]].format(int(match[1]) + 1)
    if match := re.fullmatch(r"decoder\.merge\.(\d+)\.gain\.log", key):
        return f"dec{int(match[1]) + 1}_lmb_embedding"
    place = next(place for place in places if key.startswith(f"{place}."))
    *inner, kind = key.removeprefix(f"{place}.").split(".")
    part = ".".join(inner)
    if place.startswith(("prior.latents", "decoder.merge")):
        # A merge's last convolution is named as a block's.
        part = _PARTS.get(part, _BLOCK.get(part, part))
    elif part:
        part = _FFN.get(part, _BLOCK.get(part, part))
    return ".".join([places[place], *([part] if part else []), kind])


def _constants(sizes: Sizes) -> dict[str, tuple[int, ...] | int]:
    """The keys of what is no parameter: a shape, or the dimensions of a table that is filled."""
    places = _places(sizes)
    constants: dict[str, tuple[int, ...] | int] = {}
    for place in ("encoder.enter", "decoder.leave"):
        constants |= {f"{places[place]}.alfa": (3,), f"{places[place]}.Phi": (3, 3)}
    for scale in range(sizes.scales):
        constants |= {f"{places[f'prior.latents.{scale}']}.{key}": form for key, form in _BESIDE_LATENTS.items()}
    return constants
