"""Bringing a finer latent to the size and the channels of the coarser one."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional as F

from hpcm_spectral.ops import dwt_2d, wavelet_basis

Downsample = Literal["dwt", "strided_conv", "average"]
Subbands = Literal["all", "ll"]


class Aligner(nn.Module):
    """Predicts a coarser latent from a finer one of 2^levels times its size.

    .. code-block:: none

        dwt:           finer ──► DWT, per level ──► 4^levels C (or C) bands ──► 1x1 convolution ──► coarser
        average:       finer ──► mean of s x s  ──► C channels ───────────────► 1x1 convolution ──► coarser
        strided_conv:  finer ──► (s+1) x (s+1) convolution of stride s ───────────────────────────► coarser

    where s = 2^levels. Each level of ``dwt`` transforms every band of the one before it (a wavelet packet), or with
    ``ll`` the low one; the strided convolution sees each of the positions that it steps over, and one beside them.

    No bias: what it adds would be explained by nothing in the finer latent. Weights start as PyTorch's, at random.

    Args:
        fine_channels: Channels of the finer latent, C.
        coarse_channels: Channels of the coarser one.
        levels: How often the finer latent's sides are halved; 0: it has the coarser one's.
        downsample: How the finer latent comes to the coarser one's size.
        wavelet: Name of the wavelet for ``dwt``.
        subbands: ``all`` bands of ``dwt``, or its low one (``ll``).

    Raises:
        ValueError: The wavelet is unknown.
    """

    def __init__(
        self,
        fine_channels: int,
        coarse_channels: int,
        *,
        levels: int = 1,
        downsample: Downsample = "dwt",
        wavelet: str = "haar",
        subbands: Subbands = "all",
    ) -> None:
        super().__init__()
        wavelet_basis(wavelet, 2)
        self.levels = levels
        self.downsample = downsample
        self.wavelet = wavelet
        self.subbands = subbands
        bands = 4**levels if (downsample, subbands) == ("dwt", "all") else 1
        kernel = 2**levels + 1 if downsample == "strided_conv" and levels else 1
        self.conv = nn.Conv2d(bands * fine_channels, coarse_channels, kernel, bias=False)

    def forward(self, fine: Float[torch.Tensor, "B C H W"]) -> Float[torch.Tensor, "B D h w"]:
        """The prediction."""
        weight = self.conv.weight.to(fine.dtype)
        if self.downsample == "strided_conv" and self.levels:
            return F.conv2d(fine, weight, stride=2**self.levels, padding=2 ** (self.levels - 1))
        if self.downsample == "average":
            return F.conv2d(F.avg_pool2d(fine, 2**self.levels), weight)
        for _ in range(self.levels):
            bands = dwt_2d(fine, self.wavelet)
            fine = torch.cat(bands, dim=1) if self.subbands == "all" else bands[0]
        return F.conv2d(fine, weight)
