"""The rate-distortion loss of HPCM's published recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pytorch_msssim import ms_ssim
from torch import nn

from hpcm_spectral.errors import SettingError
from hpcm_spectral.metrics import MS_SSIM_MIN_SIDE, bits, psnr

Metric = Literal["mse", "ms_ssim"]


@dataclass(frozen=True)
class RateDistortion:
    """The loss of a batch and what it is made of.

    Args:
        loss: What is minimised.
        rates: Bits per pixel by likelihood name.
        bpp: Their sum.
        mse: Mean squared error of images in [0, 1], not clamped.
        psnr: The same in dB.
        ms_ssim: MS-SSIM, where it is the distortion.
    """

    loss: torch.Tensor
    rates: Mapping[str, torch.Tensor]
    bpp: torch.Tensor
    mse: torch.Tensor
    psnr: torch.Tensor
    ms_ssim: torch.Tensor | None = None

    def metrics(self) -> dict[str, torch.Tensor]:
        """Numbers to log, by key; a rate's key is ``NAME_bpp``."""
        named = {"loss": self.loss, "bpp_loss": self.bpp, "mse_loss": self.mse, "psnr": self.psnr}
        named |= {f"{name}_bpp": rate for name, rate in self.rates.items()}
        if self.ms_ssim is not None:
            named["ms_ssim_loss"] = 1 - self.ms_ssim
        return {key: value.detach() for key, value in named.items()}


class RateDistortionLoss(nn.Module):
    """``lmbda * 255^2 * MSE + bpp``, or ``lmbda * (1 - MS-SSIM) + bpp`` (arXiv 2507.19125).

    Args:
        lmbda: Weight of the distortion, above 0; published: 0.0018, 0.0035, 0.0067, 0.013, 0.025, 0.0483 for
            ``mse`` and 2.4, 4.58, 8.73, 16.64, 31.73, 60.5 for ``ms_ssim``.
        metric: The distortion.

    Raises:
        ValueError: A value is outside its range.
    """

    def __init__(self, lmbda: float = 0.013, metric: Metric = "mse") -> None:
        super().__init__()
        if not 0 < lmbda < float("inf"):
            raise SettingError("lmbda", f"must be a number above 0, got {lmbda}.")
        if metric not in ("mse", "ms_ssim"):
            raise SettingError("metric", f"must be mse or ms_ssim, got {metric!r}.")
        self.lmbda = lmbda
        self.metric = metric

    def forward(
        self,
        x_hat: Float[torch.Tensor, "B 3 H W"],
        likelihoods: Mapping[str, torch.Tensor],
        target: Float[torch.Tensor, "B 3 H W"],
        lmbda: Float[torch.Tensor, " B"] | None = None,
    ) -> RateDistortion:
        """Loss of one batch, in float32 under autocast too.

        Args:
            x_hat: Reconstructions, not clamped.
            likelihoods: By any names, each in (0, 1].
            target: Images in [0, 1] to compare with; their pixels are what bits are divided by.
            lmbda: Weight of each image's distortion; None: the loss's own for all.
        """
        with torch.autocast(x_hat.device.type, enabled=False):
            x_hat, target = x_hat.float(), target.float()
            pixels = target.shape[0] * target.shape[2] * target.shape[3]
            rates = {name: bits(values) / pixels for name, values in likelihoods.items()}
            bpp = torch.stack(list(rates.values())).sum()
            mse = torch.mean((x_hat - target) ** 2)
            if self.metric == "mse":
                similarity, each = None, 255**2 * (mse if lmbda is None else (x_hat - target).square().mean((1, 2, 3)))
            else:
                # Images too small for its five scales are continued by their border.
                right, bottom = (max(0, MS_SSIM_MIN_SIDE - target.shape[axis]) for axis in (3, 2))
                images = (F.pad(image, (0, right, 0, bottom), mode="replicate") for image in (x_hat, target))
                similarity = ms_ssim(*images, data_range=1.0, size_average=lmbda is None)
                each = 1 - similarity
            weighted = self.lmbda * each if lmbda is None else (lmbda * each).mean()
            return RateDistortion(
                loss=weighted + bpp,
                rates=rates,
                bpp=bpp,
                mse=mse,
                psnr=psnr(mse.detach()),
                ms_ssim=None if similarity is None else similarity.mean(),
            )
