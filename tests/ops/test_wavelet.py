"""The wavelet transform against PyWavelets' own two-dimensional one."""

import numpy as np
import pytest
import pywt
import torch

from hpcm_spectral.ops import dwt_2d, wavelet_basis


def bands_of_pywt(x: torch.Tensor, wavelet: str) -> list[np.ndarray]:
    low, details = pywt.dwt2(x.double().numpy(), wavelet, mode="periodization")
    return [low, *details]


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db10", "sym4", "bior2.2", "rbio1.3"])
@pytest.mark.parametrize("size", [(16, 16), (8, 12), (2, 6), (64, 34)])
def test_every_band_equals_pywavelets(wavelet: str, size: tuple[int, int]) -> None:
    x = 5 * torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(dwt_2d(x.double(), wavelet), bands_of_pywt(x, wavelet), strict=True):
        assert ours.shape == (2, 3, size[0] // 2, size[1] // 2)
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=1e-12)
    # Single precision, as in training.
    for ours, theirs in zip(dwt_2d(x, wavelet), bands_of_pywt(x, wavelet), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=5e-6)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_bands_of_unit_latents_equal_pywavelets_within_1e_6_in_single_precision(wavelet: str) -> None:
    x = torch.randn(4, 40, 16, 16, generator=torch.Generator().manual_seed(1))
    worst = max(
        float(np.abs(ours.numpy() - theirs).max())
        for ours, theirs in zip(dwt_2d(x, wavelet), bands_of_pywt(x, wavelet), strict=True)
    )
    assert worst < 1e-6


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4"])
def test_orthogonal_wavelets_keep_the_energy(wavelet: str) -> None:
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    energy = sum(band.square().sum() for band in dwt_2d(x, wavelet))
    # PyWavelets holds the filters of sym4 to about twelve digits.
    torch.testing.assert_close(energy, x.square().sum(), rtol=1e-10 if wavelet == "sym4" else 1e-12, atol=0)


def test_the_low_band_of_haar_is_twice_the_mean_of_2x2() -> None:
    x = torch.randn(1, 2, 8, 8)
    torch.testing.assert_close(dwt_2d(x)[0], 2 * torch.nn.functional.avg_pool2d(x, 2))


def test_works_in_single_precision_under_autocast_and_on_half_input() -> None:
    x = torch.randn(1, 2, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = dwt_2d(x)
    assert all(torch.equal(a, b) for a, b in zip(inside, dwt_2d(x), strict=True))
    assert dwt_2d(x.bfloat16())[0].dtype == torch.float32


def test_a_basis_first_made_under_inference_mode_serves_training() -> None:
    with torch.inference_mode():
        dwt_2d(torch.randn(1, 1, 14, 14), "db7")
    x = torch.randn(1, 1, 14, 14, requires_grad=True)
    dwt_2d(x, "db7")[1].sum().backward()
    assert x.grad is not None


def test_unknown_wavelets_and_odd_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="wavelet must be one of PyWavelets' discrete ones, such as haar or db2, got"):
        wavelet_basis("morl", 8)
    with pytest.raises(ValueError, match="size must be even, got 7"):
        dwt_2d(torch.zeros(1, 1, 8, 7))
