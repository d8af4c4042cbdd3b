"""Which published state dicts are accepted; agreement of their outputs is in test_models_golden.py."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import json
from pathlib import Path

import pytest
import torch

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models import from_published
from hpcm_spectral.models.hpcm.published import translate_published

MANIFEST = json.loads((Path(__file__).parents[1] / "golden/state_dict_manifest.json").read_text())["hpcm_base_phi"]
KEY = "h_s.branch.5.branch.3.bias"
# Parameters, coding tables, constants and gains.
SOME_KEYS = sorted({*list(MANIFEST)[:12], *list(MANIFEST)[12::25], "adaptive_params_list.9"})


@pytest.fixture
def state_dict() -> dict[str, torch.Tensor]:
    """One number, seen as whatever shape the manifest names."""
    return {key: torch.zeros(()).expand(shape) for key, shape in MANIFEST.items()}


@pytest.mark.parametrize("key", SOME_KEYS)
def test_every_key_is_needed(key: str, state_dict: dict[str, torch.Tensor]) -> None:
    """A single gain, too: only all of them together may be missing."""
    del state_dict[key]
    with pytest.raises(CheckpointError) as caught:
        translate_published(state_dict)
    assert f"must hold {key!r}, which is missing" in str(caught.value)


@pytest.mark.parametrize("key", SOME_KEYS)
def test_every_tensor_must_have_its_shape(key: str, state_dict: dict[str, torch.Tensor]) -> None:
    shape = tuple(MANIFEST[key])
    state_dict[key] = torch.zeros(()).expand(2, 3, *shape)
    with pytest.raises(CheckpointError) as caught:
        translate_published(state_dict)
    assert str(caught.value).startswith(f"{key!r} must have shape ")
    assert str(caught.value).endswith(f"got {(2, 3, *shape)}.")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_not_finite_is_named(number: float, state_dict: dict[str, torch.Tensor]) -> None:
    state_dict[KEY] = torch.zeros(state_dict[KEY].shape)
    state_dict[KEY][17] = number
    with pytest.raises(CheckpointError, match=f"^'{KEY}' must hold finite numbers .* got NaN or infinite ones"):
        translate_published(state_dict)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (torch.zeros(640, dtype=torch.int64), "torch.int64"),
        (torch.zeros(640, dtype=torch.complex64), "torch.complex64"),
        (torch.zeros(640).to_sparse(), "torch.sparse_coo"),
        (torch.zeros(640, device="meta"), "a tensor without values"),
        (torch.full((640,), 1e300, dtype=torch.float64), "infinite ones"),
    ],
)
def test_a_tensor_of_another_kind_is_named(value: torch.Tensor, got: str, state_dict: dict[str, torch.Tensor]) -> None:
    assert tuple(state_dict[KEY].shape) == (640,)
    with pytest.raises(CheckpointError, match=f"^'{KEY}' must hold .*{got}"):
        translate_published({**state_dict, KEY: value})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, state_dict: dict[str, torch.Tensor]) -> None:
    state_dict[KEY] = torch.linspace(-1, 1, 640).to(dtype)
    tensor = translate_published(state_dict).tensors["h_s.5.contract.bias"]
    assert tensor.dtype == torch.float32
    assert torch.equal(tensor, state_dict[KEY].float())


def test_a_key_that_is_there_with_and_without_the_prefix_is_refused(state_dict: dict[str, torch.Tensor]) -> None:
    state_dict[f"module.{KEY}"] = torch.ones(640)
    with pytest.raises(CheckpointError, match=f"there once, got 'module.{KEY}'"):
        translate_published(state_dict)


def test_a_key_that_is_no_text_is_refused(state_dict: dict[str, torch.Tensor]) -> None:
    with pytest.raises(CheckpointError, match="must be text and there once, got 7"):
        translate_published({**state_dict, 7: torch.ones(1)})


def test_the_codec_owns_its_weights(state_dict: dict[str, torch.Tensor]) -> None:
    """Training it must not write into the state dict."""
    weight = torch.zeros(640)
    codec = from_published({**state_dict, KEY: weight})
    with torch.no_grad():
        codec.h_s[5].contract.bias.fill_(5)
    assert codec.name == "hpcm-base"
    assert weight.sum() == 0
