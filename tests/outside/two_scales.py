"""What somebody else might bring: a codec of two scales, a stage, a schedule and a callback of their own."""

import json
import math
from pathlib import Path

import torch
from compressai.entropy_models import EntropyBottleneck
from lightning.pytorch.callbacks import Callback
from torch import nn

from hpcm_spectral.codec import Codec, EncodedImage, PartialReconstruction, ScaleLatent
from hpcm_spectral.ops import centred_padding
from hpcm_spectral.schedules import TauSchedule
from hpcm_spectral.stages import PenaltyStage


class TwoScales(Codec):
    """A coarse latent, and at twice its size what the coarse one does not say."""

    size_multiple = 16

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.g_a = nn.Sequential(
            nn.Conv2d(3, channels, 4, stride=4), nn.LeakyReLU(), nn.Conv2d(channels, channels, 2, stride=2)
        )
        self.coarsen = nn.Conv2d(channels, channels, 2, stride=2)
        self.refine = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.g_s = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, 2, stride=2), nn.LeakyReLU(), nn.ConvTranspose2d(channels, 3, 4, 4)
        )
        self.coarse, self.fine = (EntropyBottleneck(channels) for _ in range(2))
        for bottleneck in (self.coarse, self.fine):
            bottleneck.quantiles.requires_grad_(False)

    def forward(self, x, level=None):
        padding = centred_padding(*x.shape[-2:], self.size_multiple)
        y = self.g_a(padding.pad(x))
        coarse, p_coarse = self.coarse(self.coarsen(y))
        fine, p_fine = self.fine(y - self.refine(coarse))
        return {
            "x_hat": padding.crop(self.g_s(self.refine(coarse) + fine)),
            "likelihoods": {"coarse": p_coarse, "fine": p_fine},
            "latents": [ScaleLatent(z, torch.ones_like(z[:1], dtype=torch.bool)) for z in (coarse, fine)],
        }

    @torch.no_grad()
    def reconstructions(self, x, level=0):
        padding = centred_padding(*x.shape[-2:], self.size_multiple)
        out = self(x)
        coarse = padding.crop(self.g_s(self.refine(out["latents"][0].y_hat)))
        bits = [-torch.log2(p).flatten(1).sum(1) for p in out["likelihoods"].values()]
        return [PartialReconstruction("coarse", coarse, bits[0]), PartialReconstruction("fine", out["x_hat"], bits[1])]

    @torch.inference_mode()
    def encode(self, x, level=0):
        padding = centred_padding(*x.shape[-2:], self.size_multiple)
        y = self.g_a(padding.pad(x))
        z = self.coarsen(y)
        coarse = self.coarse.compress(z)
        rest = y - self.refine(self.coarse.decompress(coarse, z.shape[-2:]))
        strings = {"coarse": coarse[0], "fine": self.fine.compress(rest)[0]}
        return EncodedImage(strings, *x.shape[-2:])

    @torch.inference_mode()
    def decode(self, image):
        padding = centred_padding(image.height, image.width, self.size_multiple)
        height, width = image.height + padding.top + padding.bottom, image.width + padding.left + padding.right
        coarse = self.coarse.decompress([image.strings["coarse"]], (height // 16, width // 16))
        fine = self.fine.decompress([image.strings["fine"]], (height // 8, width // 8))
        return padding.crop(self.g_s(self.refine(coarse) + fine))

    def update(self, *, force=False):
        changed = [bottleneck.update(force=force) for bottleneck in (self.coarse, self.fine)]
        return any(changed)

    def settle(self):
        for bottleneck in (self.coarse, self.fine):
            bottleneck._update_quantiles()


class Quiet(PenaltyStage):
    """Pays for latents that differ from zero."""

    phase = "quiet"

    def __init__(self, weight: float = 0.01, start_epoch: float = 0) -> None:
        super().__init__(start_epoch)
        self.weight = weight

    def forward(self, latents, progress):
        term = self.weight * latents[-1].y_hat.abs().mean()
        return term, {"spectral/quiet": term.detach()}

    def describe(self):
        return {"weight": self.weight}


class SquareRootSchedule(TauSchedule):
    """Fast at first, slow at the end."""

    def _between(self, t: float) -> float:
        return self.tau_init + (self.tau_final - self.tau_init) * math.sqrt(t)


class CountSteps(Callback):
    """Writes down how many steps were taken."""

    def __init__(self, file: str) -> None:
        self.file = file

    def on_train_end(self, trainer, pl_module):
        Path(self.file).write_text(json.dumps({"steps": trainer.global_step}))
