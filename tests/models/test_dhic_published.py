"""DHIC's agreement with the published model: golden outputs, parameters, keys of its checkpoints."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models import DHIC, from_published
from hpcm_spectral.models.dhic import to_published

GOLDEN = Path(__file__).parents[1] / "golden"
MANIFEST = {k: tuple(v) for k, v in json.loads((GOLDEN / "dhic_manifest.json").read_text()).items()}
CONSTANTS = {"alfa": torch.tensor([0.75, 1.0, 0.75])}


def total_bits(likelihoods: torch.Tensor) -> float:
    return -torch.log2(likelihoods.double()).sum().item()


def golden_weights(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights behind the golden outputs: normal numbers seeded by the key, scaled by its place."""
    noise = np.random.RandomState(zlib.crc32(key.encode()) & 0x7FFFFFFF).standard_normal(shape)
    latents = tuple(f"em_blocks.{place}." for place in (2, 9, 17, 31))
    if key in ("em_bias", "dec_bias"):
        return 0.5 * noise
    if "embedding" in key:
        return 0.1 * noise
    if len(shape) == 4:
        ends = tuple(f"{latent}posterior.{end}" for latent in latents for end in ("outlayer", "adaptor"))
        gains = ((key.startswith(ends), 1.5), (".mixer." in key, 0.5), (".pc2." in key or ".pw2." in key, 0.3))
        return next((gain for holds, gain in gains if holds), 0.8) * noise / np.sqrt(np.prod(shape[1:]))
    if key.startswith(tuple(f"{latent}prior" for latent in latents)):
        means, scales = np.split(noise, 2)
        return np.concatenate([0.05 * means, 0.6 + 0.5 * scales])
    return 0.05 * noise


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """What the published model gives in evaluation mode, in float32 on a CPU."""
    with np.load(GOLDEN / "dhic.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def model() -> Codec:
    """The codec with the golden weights."""
    state: dict[str, torch.Tensor] = {}
    for key, shape in MANIFEST.items():
        constant = CONSTANTS.get(key.rpartition(".")[2])
        if constant is None and any(part in key for part in ("Phi", "discrete_gaussian", "up_bound")):
            constant = torch.zeros(shape)
        state[key] = torch.from_numpy(golden_weights(key, shape)).float() if constant is None else constant
    # In float64: one value of scale 3 lies 3e-7 from where its rounding turns, nearer than float32's sums agree.
    return from_published(state).double().eval()


@pytest.fixture(scope="module", params=[3, 60])
def output(request: pytest.FixtureRequest, model: Codec, expected: dict[str, np.ndarray]) -> tuple[int, Any]:
    """A rate level and what the codec gives there."""
    x = torch.from_numpy(expected["image"])[None].double() / 255
    with torch.no_grad():
        return request.param, model(x, level=request.param)


class TestPublished:
    def test_parameters(self, model: Codec) -> None:
        assert sum(p.numel() for p in model.parameters()) == 222_649_088
        assert model.levels == 64

    def test_reconstruction(self, output: tuple[int, Any], expected: dict[str, np.ndarray]) -> None:
        level, out = output
        assert out["x_hat"].shape == (1, 3, 256, 256)
        assert np.abs(out["x_hat"][0, :, ::4, ::4].numpy() - expected[f"q{level}_x_hat"]).max() < 1e-4

    def test_latents_coarsest_first(self, output: tuple[int, Any], expected: dict[str, np.ndarray]) -> None:
        level, out = output
        assert [tuple(latent.y_hat.shape[1:]) for latent in out["latents"]] == [
            *((320, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32))
        ]
        for scale, latent in enumerate(out["latents"], start=1):
            golden = expected[f"q{level}_z{scale}"]
            agree = np.abs(latent.y_hat[0, : len(golden)].numpy() - golden) < 1e-3
            assert agree.mean() >= 0.999, f"scale {scale}"

    def test_bits_per_scale_and_loss(
        self, output: tuple[int, Any], expected: dict[str, np.ndarray], model: Codec
    ) -> None:
        level, out = output
        found = [total_bits(values) for values in out["likelihoods"].values()]
        assert list(out["likelihoods"]) == ["z1", "z2", "z3", "z4"]
        # Likelihoods are of float32, whose error the published model shares.
        assert found == pytest.approx(expected[f"q{level}_bits"].tolist(), rel=5e-3)
        loss, bpp, mse = expected[f"q{level}_loss_bpp_mse"]
        assert model.lmbdas is not None
        assert sum(found) / 256**2 + model.lmbdas[level] * 255**2 * mse == pytest.approx(loss, rel=5e-3)
        assert sum(found) / 256**2 == pytest.approx(bpp, rel=5e-3)

    def test_a_state_dict_for_the_published_code(self, model: Codec) -> None:
        assert isinstance(model, DHIC)
        written = to_published(model)
        assert {key: tuple(value.shape) for key, value in written.items()} == MANIFEST
        key = "em_blocks.17.posterior.adaptor.weight"
        assert np.allclose(written[key].numpy(), golden_weights(key, MANIFEST[key]), atol=1e-6)


class TestStateDicts:
    @pytest.fixture
    def state_dict(self) -> dict[str, torch.Tensor]:
        """One number, seen as whatever shape the manifest names."""
        zeros = {key: torch.zeros(()).expand(shape) for key, shape in MANIFEST.items()}
        return zeros | {key: CONSTANTS["alfa"] for key in MANIFEST if key.endswith(".alfa")}

    @pytest.mark.parametrize("key", [*list(MANIFEST)[::400], "encoder.enc_blocks.11.Phi", "em_blocks.2.up_bound.bound"])
    def test_every_key_is_needed(self, key: str, state_dict: dict[str, torch.Tensor]) -> None:
        del state_dict[key]
        with pytest.raises(CheckpointError, match=f"must hold '{key}', which is missing"):
            from_published(state_dict)

    def test_unknown_tensors_are_named(self, state_dict: dict[str, torch.Tensor]) -> None:
        extra = {f"em_blocks.{number}.x": torch.zeros(1) for number in range(90, 95)}
        with pytest.raises(CheckpointError, match=r"got 'em_blocks.90.x', .*'em_blocks.92.x' and 2 more"):
            from_published({**state_dict, **extra})

    def test_other_taps_are_refused(self, state_dict: dict[str, torch.Tensor]) -> None:
        with pytest.raises(CheckpointError, match=r"'dec_blocks.32.alfa' must be \[0.75, 1.0, 0.75\]"):
            from_published({**state_dict, "dec_blocks.32.alfa": torch.ones(3)})
