"""PSNR and MS-SSIM of images in [0, 1], and bits from likelihoods."""

import torch
from jaxtyping import Float
from pytorch_msssim import ms_ssim

# Five scales with an 11-tap window, each half of the one before, need more than (11 - 1) * 2^4 pixels.
MS_SSIM_MIN_SIDE = 161


def psnr(mse: Float[torch.Tensor, ""]) -> Float[torch.Tensor, ""]:
    """PSNR in dB of images in [0, 1] from their mean squared error.

    Example:
        >>> round(psnr(torch.tensor(0.01)).item(), 4)
        20.0
    """
    return -10 * torch.log10(mse)


def psnr_8bit(x: Float[torch.Tensor, "B 3 H W"], x_hat: Float[torch.Tensor, "B 3 H W"]) -> Float[torch.Tensor, ""]:
    """PSNR in dB of images in [0, 1] and reconstructions of any range.

    These are clamped and rounded to 8 bits first, as published results are scored.
    """
    return psnr(torch.mean((to_8bit(x_hat) - x.float()) ** 2))


def ms_ssim_db(x: Float[torch.Tensor, "B 3 H W"], x_hat: Float[torch.Tensor, "B 3 H W"]) -> Float[torch.Tensor, ""]:
    """``-10 log10(1 - MS-SSIM)`` after clamping and rounding to 8 bits; both sides must have at least 161 pixels.

    Computed in float32, under autocast too.
    """
    with torch.autocast(x.device.type, enabled=False):
        return -10 * torch.log10(1 - ms_ssim(to_8bit(x_hat), x.float(), data_range=1.0))


def to_8bit(x: Float[torch.Tensor, "*shape"]) -> Float[torch.Tensor, "*shape"]:
    """The nearest values that an 8-bit picture can hold, in [0, 1]."""
    return torch.round(x.float().clamp(0, 1) * 255) / 255


def bits(likelihoods: Float[torch.Tensor, "*shape"]) -> Float[torch.Tensor, ""]:
    """What ideal entropy coding of all values costs: the sum of ``-log2`` of their likelihoods, in float32.

    Example:
        >>> bits(torch.tensor([0.5, 0.25])).item()
        3.0
    """
    return -torch.log2(likelihoods.float()).sum()
