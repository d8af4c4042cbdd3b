"""Agreement with the published HPCM: golden outputs, parameter counts, its checkpoints' keys.

The .npz files in tests/golden hold what the published HPCM gives for one 256x256 image, in evaluation mode and
float32 on a CPU; state_dict_manifest.json holds keys and shapes of its three state dicts.
"""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.codec import CodecOutput
from hpcm_spectral.models import HPCM, HPCM_Tiny, from_published

Manifest = dict[str, dict[str, tuple[int, ...]]]
GOLDEN = Path(__file__).parents[1] / "golden"
VARIANTS = ("hpcm_base", "hpcm_large", "hpcm_base_phi")

# The last biases of h_s and of the context networks: prior scales in their first half, means in the second.
_PRIOR_BIASES = (
    "h_s.branch.5.branch.3.bias",
    *(f"s1_s2.branch_2.{place}.bias" for place in (1, 2)),
    *(f"s3.branch_2.{place}.bias" for place in (2, 3)),
)


def golden_weights(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights behind the golden outputs: normal numbers seeded by the key, scaled by its place."""
    normal = np.random.RandomState(zlib.crc32(key.encode()) % 2**31).standard_normal(shape)
    if key.endswith("means_hyper"):
        return 0.1 * normal
    if key.endswith("scales_hyper"):
        return 0.5 + np.abs(normal)
    if "adaptive_params" in key:
        return 1 + 0.1 * normal
    if len(shape) < 4:
        if shape == (640,) and key.endswith(_PRIOR_BIASES):
            scales, means = np.split(normal, 2)
            return np.concatenate([1 + 0.3 * np.abs(scales), 0.05 * means])
        return 0.05 * normal
    _, _, after_first_branch = key.partition("branch")
    if key.startswith("g_a.branch.") and shape == (320, 384, 2, 2):
        gain = 4.0  # the last convolution of g_a
    elif ".branch." in after_first_branch or "branch_" in key:
        gain = 0.35  # inside a residual block
    else:
        gain = 0.8
    return gain * normal / np.sqrt(np.prod(shape[1:]))


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """Keys and shapes of the published state dicts, by variant."""
    shapes = json.loads((GOLDEN / "state_dict_manifest.json").read_text())
    return {variant: {key: tuple(shape) for key, shape in keys.items()} for variant, keys in shapes.items()}


@dataclass(frozen=True)
class GoldenRun:
    """A variant with the golden weights.

    Args:
        variant: Its name in tests/golden.
        expected: Arrays of its .npz file.
        model: The codec here.
        output: What it gives for the golden image.
    """

    variant: str
    expected: dict[str, np.ndarray]
    model: HPCM
    output: CodecOutput


@pytest.fixture(scope="session", params=VARIANTS)
def golden(request: pytest.FixtureRequest, manifest: Manifest) -> GoldenRun:
    variant = request.param
    with np.load(GOLDEN / f"{variant}.npz") as file:
        expected = dict(file)
    state_dict = {
        key: torch.from_numpy(golden_weights(key, shape)).float() if 0 not in shape else torch.zeros(shape)
        for key, shape in manifest[variant].items()
    }
    model = from_published(state_dict).eval()
    with torch.no_grad():
        output = model(torch.from_numpy(expected["image"])[None].float() / 255)
    return GoldenRun(variant, expected, model, output)


def bits(likelihoods: torch.Tensor) -> torch.Tensor:
    return -torch.log2(likelihoods.double())


class TestGoldenOutputs:
    def test_reconstruction(self, golden: GoldenRun) -> None:
        x_hat = golden.output["x_hat"]

        assert x_hat.shape == (1, 3, 256, 256)
        assert np.abs(x_hat[0, :, ::4, ::4].numpy() - golden.expected["x_hat"]).max() < 1e-4

    def test_latents_of_every_scale(self, golden: GoldenRun) -> None:
        for scale, latent in enumerate(golden.output["latents"], start=1):
            expected = golden.expected[f"latent_s{scale}"]
            y_hat = latent.y_hat[0].numpy()
            assert y_hat.shape == expected.shape
            assert np.mean(np.abs(y_hat - expected) < 1e-3) >= 0.9999, f"scale {scale}"

    def test_total_bits(self, golden: GoldenRun) -> None:
        likelihoods = golden.output["likelihoods"]

        assert bits(likelihoods["y"]).sum().item() == pytest.approx(float(golden.expected["y_bits"]), rel=1e-3)
        assert bits(likelihoods["z"]).sum().item() == pytest.approx(float(golden.expected["z_bits"]), rel=1e-4)

    def test_bits_lie_where_they_belong(self, golden: GoldenRun) -> None:
        y_bits_map = bits(golden.output["likelihoods"]["y"])[0].sum(0).numpy()

        assert y_bits_map.shape == (16, 16)
        error = np.abs(y_bits_map / golden.expected["y_bits_map"] - 1)
        # The published float32 likelihoods are noisy in the far tail: up to 0.6 % of a position's bits.
        assert error.max() < 0.01
        assert np.median(error) < 1e-4

    def test_parameter_count(self, golden: GoldenRun) -> None:
        counts = {"hpcm_base": 68_505_299, "hpcm_large": 89_718_803, "hpcm_base_phi": 63_582_419}

        assert sum(p.numel() for p in golden.model.parameters()) == counts[golden.variant]

    def test_class_and_order(self, golden: GoldenRun) -> None:
        assert golden.model.name == ("hpcm-large" if golden.variant == "hpcm_large" else "hpcm-base")
        assert golden.model.arguments["cross_attention"] is (golden.variant != "hpcm_base_phi")
        assert golden.model.arguments["hyper_prior_order"] == "published"

    def test_state_dict_rebuilds_the_model(self, golden: GoldenRun) -> None:
        rebuilt = HPCM.from_state_dict(golden.model.state_dict())

        assert rebuilt.arguments == golden.model.arguments
        own = golden.model.state_dict()
        assert all(torch.equal(value, own[key]) for key, value in rebuilt.state_dict().items())


def test_parameter_count_of_tiny() -> None:
    assert sum(p.numel() for p in HPCM_Tiny().parameters()) == 1_247_173


class TestFromPublished:
    """With empty weights: one number, seen as whatever shape the manifest names."""

    KEY = "h_s.branch.5.branch.3.weight"

    @pytest.fixture
    def state_dict(self, manifest: Manifest) -> dict[str, torch.Tensor]:
        return {key: torch.zeros(()).expand(shape) for key, shape in manifest["hpcm_base_phi"].items()}

    def test_checkpoints_from_before_2026_lack_the_gains_which_then_are_one(
        self, state_dict: dict[str, torch.Tensor]
    ) -> None:
        old = {key: value for key, value in state_dict.items() if not key.startswith("adaptive_params_list.")}
        assert len(old) == len(state_dict) - 10

        model = from_published(old)

        assert all(torch.equal(gain, torch.ones_like(gain)) for gain in model.context.gains)
        assert all((gain == 0).all() for gain in from_published(state_dict).context.gains)

    def test_prefix_of_a_wrapped_model_and_filled_coding_tables(self, state_dict: dict[str, torch.Tensor]) -> None:
        tables = {
            "scale_table": torch.ones(60),
            **{f"{name}_{latent}": torch.ones(60, 9) for name in ("quantized_cdf",) for latent in "yz"},
            **{f"{name}_{latent}": torch.ones(60) for name in ("cdf_length", "offset") for latent in "yz"},
        }
        assert set(tables) <= set(state_dict)
        marked = {**state_dict, **tables, self.KEY: torch.full(state_dict[self.KEY].shape, 3.0)}

        model = from_published({f"module.{key}": value for key, value in marked.items()})

        assert (model.h_s[5].contract.weight == 3).all()
        assert model.entropy_model.quantized_cdf.numel() == 0, "coding tables are computed here, not taken over"

    @pytest.mark.parametrize("variant", ["hpcm_base", "hpcm_large", "hpcm_base_phi"])
    def test_missing_key(self, variant: str, manifest: Manifest) -> None:
        state_dict = {key: torch.zeros(()).expand(shape) for key, shape in manifest[variant].items()}
        del state_dict["g_s.branch.0.bias"]

        with pytest.raises(CheckpointError, match=r"must hold 'g_s\.branch\.0\.bias', which is missing"):
            from_published(state_dict)

    def test_unknown_key(self, state_dict: dict[str, torch.Tensor]) -> None:
        state_dict["g_s.branch.77.bias"] = torch.zeros(3)

        with pytest.raises(CheckpointError, match=r"must be a published one, got 'g_s\.branch\.77\.bias'"):
            from_published(state_dict)

    def test_other_shape(self, state_dict: dict[str, torch.Tensor]) -> None:
        state_dict[self.KEY] = torch.zeros(640, 2560, 3, 3)

        with pytest.raises(CheckpointError, match=r"^'h_s\.branch.*\(640, 2560, 1, 1\).* got \(640, 2560, 3, 3\)\.$"):
            from_published(state_dict)

    def test_a_value_that_is_no_tensor(self, state_dict: dict[str, torch.Tensor]) -> None:
        with pytest.raises(CheckpointError, match=r"^'h_s\.branch\.5\.branch\.3\.weight' must have .* got str\.$"):
            # Unwrapped from the test run's type checker, which a user does not have.
            getattr(from_published, "__wrapped__", from_published)({**state_dict, self.KEY: "not a tensor"})
