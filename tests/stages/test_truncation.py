"""Phase 1 against SciPy's transform and a dense mask."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import inspect
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
from PIL import Image

from hpcm_spectral.schedules import ConstantSchedule, ExponentialSchedule
from hpcm_spectral.stages import DCTTransform, SpectralTruncation, truncate
import itertools

TAUS = (0.05, 0.3, 0.525, 1.0)
MASKS = ("soft", "hard", "soft_identity")
SIZES = [(64, 64), (128, 128), (256, 256), (512, 512), (65, 65), (257, 257), (96, 160), (257, 64)]
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}


@pytest.fixture(scope="session")
def photo() -> torch.Tensor:
    """A 512x512 photograph in [0, 1], float64."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("scikit-image, which carries the photograph, is not installed")
    with Image.open(Path(spec.origin).parent / "data" / "astronaut.png") as image:
        pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255


def dense_mask(mask: str, tau: float, height: int, width: int, tau_final: float = 1.0) -> np.ndarray:
    """Over all frequencies, from the paper's definition."""
    u, v = np.arange(height)[:, None] / height, np.arange(width)[None, :] / width
    r = np.sqrt(u**2 + v**2)
    if mask == "hard":
        return (r < tau).astype(np.float64)
    if mask == "soft":
        return np.maximum(0, (tau - r) / tau)
    # The soft mask's slope 1 / tau shrinks to zero as tau reaches its final value.
    return np.maximum(0, 1 - r * (1 / tau - 1 / tau_final))


def reference(x: torch.Tensor, mask: str, tau: float, tau_final: float = 1.0) -> np.ndarray:
    height, width = x.shape[-2:]
    coefficients = scipy.fft.dctn(x.double().numpy(), norm="ortho", axes=(-2, -1))
    kept = coefficients * dense_mask(mask, tau, height, width, tau_final)
    return scipy.fft.idctn(kept, norm="ortho", axes=(-2, -1))


def images(kind: str, height: int, width: int, photo: torch.Tensor) -> torch.Tensor:
    if kind == "photo":
        return photo[..., :height, 512 - width :]
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(height))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["random", "photo"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_truncation_agrees_with_scipy(
    height: int, width: int, kind: str, dtype: torch.dtype, photo: torch.Tensor
) -> None:
    x = images(kind, height, width, photo).to(dtype)

    for mask in MASKS:
        for tau in TAUS:
            result = truncate(x, tau, mask=mask)

            assert result.dtype == dtype
            error = np.abs(result.double().numpy() - reference(x, mask, tau)).max()
            assert error < TOLERANCE[dtype], f"{mask}, tau {tau}: {error:.2e}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["random", "photo"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_round_trip(height: int, width: int, kind: str, dtype: torch.dtype, photo: torch.Tensor) -> None:
    x = images(kind, height, width, photo).to(dtype)

    error = (DCTTransform.idct_2d(DCTTransform.dct_2d(x)).double() - x.double()).abs().max().item()

    assert error < TOLERANCE[dtype], f"{error:.2e}"


def test_cutoffs_beyond_one_reach_the_corner() -> None:
    x = torch.rand(1, 3, 32, 48, dtype=torch.float64)

    assert (truncate(x, 1.42, mask="hard") - x).abs().max() < 1e-13  # above sqrt(2): every frequency
    for mask in MASKS:
        assert np.abs(truncate(x, 1.3, mask=mask, tau_final=1.4).numpy() - reference(x, mask, 1.3, 1.4)).max() < 1e-13


def test_soft_mask_at_tau_one_is_not_the_identity(photo: torch.Tensor) -> None:
    assert (truncate(photo, 1.0) - photo).abs().max() > 0.05


def test_a_cutoff_below_the_first_frequency_leaves_the_mean() -> None:
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    mean = x.mean(dim=(-2, -1), keepdim=True).expand_as(x)

    for mask in MASKS:
        assert torch.allclose(truncate(x, 0.05, mask=mask), mean, atol=1e-13)


@pytest.mark.parametrize("tau_final", [0.4, 1.0, 1.4])
def test_soft_identity_ends_in_the_identity_exactly(tau_final: float, photo: torch.Tensor) -> None:
    x = photo.float()

    assert torch.equal(truncate(x, tau_final, mask="soft_identity", tau_final=tau_final), x)
    nearly = truncate(x, tau_final * (1 - 1e-7), mask="soft_identity", tau_final=tau_final)
    assert (nearly - x).abs().max() < 3e-6, "no jump at the end"


def test_soft_identity_opens_steadily() -> None:
    """Each frequency's share only grows with tau: seen by truncating an image of flat spectrum."""
    size = 24
    flat = torch.from_numpy(scipy.fft.idctn(np.ones((1, 3, size, size)), norm="ortho", axes=(-2, -1)))
    shares = [
        scipy.fft.dctn(truncate(flat, float(tau), mask="soft_identity").numpy(), norm="ortho", axes=(-2, -1))
        for tau in np.linspace(0.05, 1.0, 60)
    ]

    for before, after in itertools.pairwise(shares):
        assert (after - before).min() > -1e-12
    assert shares[0].min() > -1e-12
    assert np.abs(shares[-1] - 1).max() < 1e-12


def test_hard_mask_keeps_what_lies_strictly_below_tau() -> None:
    # 32 x 64: frequency (16, 0) and (0, 32) lie exactly at r = 0.5, (0, 31) below it.
    spectrum = torch.zeros(1, 1, 32, 64, dtype=torch.float64)
    for u, v in ((16, 0), (0, 32), (0, 31), (15, 0), (12, 22)):
        spectrum[..., u, v] = 1
    x = torch.from_numpy(scipy.fft.idctn(spectrum.numpy(), norm="ortho", axes=(-2, -1)))

    kept = scipy.fft.dctn(truncate(x, 0.5, mask="hard").numpy(), norm="ortho", axes=(-2, -1))[0, 0]

    assert {(int(u), int(v)) for u, v in np.argwhere(np.abs(kept) > 1e-9)} == {(0, 31), (15, 0)}


def test_the_images_gradient_is_the_truncation_itself() -> None:
    """The operator is symmetric, so its gradient truncates the incoming one."""
    x = torch.rand(1, 3, 12, 10, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 3, 12, 10, dtype=torch.float64)

    (truncate(x, 0.4) * weights).sum().backward()

    assert x.grad is not None
    assert np.abs(x.grad.numpy() - reference(weights, "soft", 0.4)).max() < 1e-13
    assert torch.autograd.gradcheck(lambda t: truncate(t, 0.4), torch.rand_like(x[0, 0, :5, :6]).requires_grad_())


@pytest.mark.parametrize("tau", [0.05, 0.525])
def test_bf16_images_are_computed_in_float32(tau: float, photo: torch.Tensor) -> None:
    x = photo[..., :64, :64].bfloat16()

    result = truncate(x, tau)

    assert result.dtype == torch.bfloat16
    expected = torch.from_numpy(reference(x, "soft", tau)).float()
    # Rounded once, at the end: within half a bf16 ulp (2**-9 relative) of the exact result.
    assert ((result.float() - expected).abs() <= expected.abs() * 2.0**-8 + 1e-6).all()


def test_autocast_changes_nothing(photo: torch.Tensor) -> None:
    x = photo.float()

    with torch.autocast("cpu", torch.bfloat16):
        result = truncate(x, 0.3)

    assert result.dtype == torch.float32
    assert torch.equal(result, truncate(x, 0.3))


@pytest.mark.parametrize("tau", [0.0, -0.1, math.nan])
def test_tau_must_be_positive(tau: float) -> None:
    with pytest.raises(ValueError, match=r"^tau must be above 0, got"):
        truncate(torch.ones(1, 3, 8, 8), tau)


class TestStage:
    def test_signature_of_the_earlier_attempt(self) -> None:
        stage = SpectralTruncation(tau_init=0.05, tau_final=1.0, num_epochs=100)
        x = torch.rand(2, 3, 32, 32)

        assert stage.get_tau(0) == 0.05
        assert stage.get_tau(50) == pytest.approx(0.525, abs=1e-12)
        assert stage.get_tau(100) == 1.0
        assert torch.equal(stage.apply_truncation(x, 50), truncate(x, stage.get_tau(50)))

    def test_defaults_are_the_papers(self) -> None:
        stage = SpectralTruncation()

        assert (stage.get_tau(0), stage.get_tau(100)) == (0.05, 1.0)
        assert (stage.start_epoch, stage.end_epoch) == (0, 100)
        assert (stage.phase, stage.mask, stage.target) == ("phase1_intra", "soft", "truncated")

    def test_images_follow_the_schedule_epoch_by_epoch(self) -> None:
        stage = SpectralTruncation(0.1, 0.9, 8)
        x = torch.rand(1, 3, 40, 24, dtype=torch.float64)

        for epoch in range(8):
            expected = reference(x, "soft", 0.1 + 0.8 * epoch / 8)
            assert np.abs(stage(x, float(epoch))[0].numpy() - expected).max() < 1e-12
        assert torch.equal(stage(x, 3.7)[0], stage(x, 3.0)[0]), "by epoch unless the schedule says by step"

    def test_acts_until_num_epochs_and_then_leaves_images_whole(self) -> None:
        stage = SpectralTruncation(0.05, 1.0, 3)
        x = torch.rand(1, 3, 32, 32)

        for progress in (0.0, 1.5, 2.999):
            assert stage.is_active(progress)
            assert not torch.allclose(stage(x, progress)[0], x, atol=1e-3)
        for progress in (3.0, 3.5, 1000.0):
            assert not stage.is_active(progress)
            assert torch.equal(stage(x, progress)[0], x)

    def test_a_schedule_takes_the_place_of_the_three_numbers(self) -> None:
        stage = SpectralTruncation(schedule=ExponentialSchedule(0.1, 0.4, 10, granularity="step"), mask="hard")
        x = torch.rand(1, 3, 32, 32, dtype=torch.float64)

        assert stage.end_epoch == 10
        assert np.abs(stage(x, 5.0)[0].numpy() - reference(x, "hard", 0.2)).max() < 1e-13

    def test_soft_identity_uses_the_schedules_own_end(self) -> None:
        stage = SpectralTruncation(0.1, 0.5, 10, mask="soft_identity")
        x = torch.rand(1, 3, 32, 32, dtype=torch.float64)

        assert np.abs(stage(x, 5.0)[0].numpy() - reference(x, "soft_identity", 0.3, 0.5)).max() < 1e-13

    def test_has_nothing_to_train_or_to_save(self) -> None:
        stage = SpectralTruncation()

        assert list(stage.parameters()) == []
        assert stage.state_dict() == {}

    def test_logs_tau(self) -> None:
        stage = SpectralTruncation()

        x = torch.rand(1, 3, 8, 8)

        assert stage(x, 0.0)[1] == {"spectral/tau": 0.05}
        assert stage(x, 50.0)[1] == {"spectral/tau": 0.525}

    def test_describes_itself_by_at_most_four_different_cutoffs(self) -> None:
        described = SpectralTruncation(0.1, 0.9, 10, mask="hard").describe()
        moments = described.pop("moments")

        assert described == {"kind": "dct_truncation", "mask": "hard", "target": "truncated", "tau_final": 0.9}
        assert [epoch for epoch, _ in moments] == [0, 3, 6, 9]
        assert [tau for _, tau in moments] == pytest.approx([0.1, 0.34, 0.58, 0.82])
        assert SpectralTruncation(schedule=ConstantSchedule(0.5, 0.5, 10)).describe()["moments"] == [[0.0, 0.5]]

    def test_target_original_does_not_change_the_images(self) -> None:
        x = torch.rand(1, 3, 32, 32)

        original = SpectralTruncation(target="original")

        assert (original.target, original.replaces_target, SpectralTruncation().replaces_target) == (
            "original",
            False,
            True,
        )
        assert torch.equal(original(x, 0.0)[0], SpectralTruncation()(x, 0.0)[0])


def unchecked_stage(**arguments: object) -> None:
    """Build a stage without the test run's type checker, which would refuse wrong words before the code does."""
    inspect.unwrap(SpectralTruncation.__init__)(SpectralTruncation.__new__(SpectralTruncation), **arguments)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^mask must be one of soft, hard, soft_identity, got 'round'\.$"):
        unchecked_stage(mask="round")
    with pytest.raises(ValueError, match=r"^mask must be one of soft, hard, soft_identity, got 'round'\.$"):
        inspect.unwrap(truncate)(torch.ones(1, 3, 8, 8), 0.5, mask="round")
    with pytest.raises(ValueError, match=r"^target must be truncated or original, got 'both'\.$"):
        unchecked_stage(target="both")


def test_the_numbers_are_checked_like_a_schedules() -> None:
    with pytest.raises(ValueError, match=r"^tau_init must not exceed tau_final"):
        SpectralTruncation(0.9, 0.5, 10)
    with pytest.raises(ValueError, match=r"^num_epochs must be at least 1"):
        SpectralTruncation(0.1, 0.5, 0)


def test_soft_identity_needs_a_rising_schedule() -> None:
    with pytest.raises(ValueError, match="mask soft_identity needs a schedule whose tau rises, got 0.5 throughout"):
        SpectralTruncation(schedule=ConstantSchedule(0.5, 0.5, 10), mask="soft_identity")
