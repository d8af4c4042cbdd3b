"""Quality against scikit-image, rate against hand-made numbers."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from hpcm_spectral.metrics import bits, ms_ssim_db, psnr, psnr_8bit


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """An 8-bit picture and a noisy reconstruction that leaves [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (1, 3, 180, 190), generator=generator) / 255
    return x, x + 0.1 * torch.randn(x.shape, generator=generator)


def test_psnr_of_an_8_bit_file_equals_scikit_image(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, x_hat = pair
    pixels = [np.clip(np.rint(255 * image.double().numpy()), 0, 255).astype(np.uint8) for image in (x, x_hat)]
    assert psnr_8bit(x, x_hat).item() == pytest.approx(peak_signal_noise_ratio(*pixels), abs=1e-4)


def test_psnr_from_a_mean_squared_error_does_not_clamp(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, x_hat = pair
    reference = peak_signal_noise_ratio(x.numpy(), x_hat.numpy(), data_range=1.0)
    assert psnr(torch.mean((x - x_hat) ** 2)).item() == pytest.approx(reference, abs=1e-4)


def test_a_rounding_error_that_8_bits_cannot_hold_is_no_error() -> None:
    x = torch.full((1, 3, 4, 4), 100 / 255)
    assert math.isinf(psnr_8bit(x, x + 0.4 / 255).item())
    assert psnr_8bit(x, x + 0.6 / 255).item() == pytest.approx(20 * math.log10(255), abs=1e-3)


def test_ms_ssim_in_db_rises_with_quality_and_has_a_size_limit(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, x_hat = pair
    worse, better = ms_ssim_db(x, x_hat).item(), ms_ssim_db(x, x + 0.1 * (x_hat - x)).item()
    assert 0 < worse < better
    with pytest.raises(AssertionError):
        ms_ssim_db(x[..., :160, :160], x_hat[..., :160, :160])
    ms_ssim_db(x[..., :161, :161], x_hat[..., :161, :161])


def test_autocast_lowers_the_precision_of_no_metric(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, x_hat = pair
    alike = x + 1e-2 * (x_hat - x)  # an MS-SSIM of 0.9999, which bfloat16 cannot hold
    found = [metric(x, alike) for metric in (psnr_8bit, ms_ssim_db)]
    with torch.autocast("cpu", torch.bfloat16):
        assert [metric(x, alike) for metric in (psnr_8bit, ms_ssim_db)] == found


def test_bits_are_binary_logarithms() -> None:
    assert bits(torch.tensor([[0.5, 0.125], [1.0, 2**-30]])).item() == pytest.approx(1 + 3 + 0 + 30)
