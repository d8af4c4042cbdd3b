"""The prior path: the one traversal of the scales, which estimates, writes or reads their latents.

Letters: B batch, C channels of a scale's features, Z channels of its latent, h and w positions.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import nn

from hpcm_spectral.codec import Level, ScaleLatent
from hpcm_spectral.entropy import SymbolCoder
from hpcm_spectral.models.dhic.blocks import Block, blocks, up
from hpcm_spectral.models.dhic.rate import RateTable
from hpcm_spectral.models.dhic.sizes import Sizes
from hpcm_spectral.ops.devices import as_float32, transforms_in
from hpcm_spectral.ops.pointwise import PointwiseConv2d

# Bounds of the logarithm of the prior's standard deviation; the lower one is soft.
LOG_SCALE_MIN, LOG_SCALE_MAX = -2.3, 10.0


class DecodedScale(NamedTuple):
    """What the decoder takes from a scale: features before and after its latent; and the latent itself."""

    before: torch.Tensor
    after: torch.Tensor
    latent: ScaleLatent


class LatentScale(nn.Module):
    """One scale's latent: its prior from the features of the prior path, its posterior from those of the encoder.

    .. code-block:: none

        f ──► * gain ──► 1x1 ──► mean, log scale ───────────────► coder ──► z_hat / step ──► * step ──► z_hat
        e ──► * gain ──► block ──► cat(f, .) ──► block ──► z / step ─┘                                    │
        f ────────────────────────────────────────────────────────────────────────► (+) ◄── 1x1 ◄─────────┘
    """

    def __init__(self, channels: int, latent_channels: int, levels: int, *, checkpointed: bool) -> None:
        super().__init__()
        self.encoder_gain = RateTable(levels, channels)
        self.prior_gain = RateTable(levels, channels)
        self.step = RateTable(levels, latent_channels)
        self.prior = PointwiseConv2d(channels, 2 * latent_channels)
        self.encoder_block = Block(channels, checkpointed=checkpointed)
        self.posterior = Block(2 * channels, channels, latent_channels, checkpointed=checkpointed)
        self.project = PointwiseConv2d(latent_channels, channels)

    def forward(
        self,
        f: Float[torch.Tensor, "B C h w"],
        e: Float[torch.Tensor, "B C h w"] | None,
        coder: SymbolCoder,
        level: Level,
        inside: Bool[torch.Tensor, "1 1 h w"] | None,
    ) -> tuple[Float[torch.Tensor, "B Z h w"], Float[torch.Tensor, "B C h w"]]:
        """The decoded latent, and the features that hold it, too; ``e`` is None where a decoder has none."""
        mean, log_scale = self.prior(f * self.prior_gain(level)).float().chunk(2, dim=1)
        log_scale = F.softplus(log_scale - LOG_SCALE_MIN) + LOG_SCALE_MIN
        # The upper bound lets gradients pass.
        log_scale = log_scale - (log_scale - LOG_SCALE_MAX).clamp(min=0).detach()
        step = self.step(level).float()
        # The published code divides the standard deviation by the step's square.
        scale = log_scale.exp() / step**2
        z = None
        if e is not None:
            # Which the encoder alone computes, and in few bits if its features are.
            with transforms_in(e.dtype, e.device):
                z = self.posterior(torch.cat((f, self.encoder_block(e * self.encoder_gain(level))), dim=1))
            # In training it keeps the memory format of the rest.
            z = (z.float() if self.training else as_float32(z)) / step
        if inside is not None:
            inside = inside.expand(-1, mean.shape[1], -1, -1)
        z_hat = coder.code(z, scale, mean / step, inside) * step
        return z_hat, f + self.project(z_hat.to(f.dtype))


class PriorPath(nn.Module):
    """From a learned bias over ever finer scales, each of which adds its latent.

    .. code-block:: none

        bias ──► blocks ──► latent 1 ──► blocks ──► up ──► blocks ──► latent 2 ──► ...
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        options = {"checkpointed": sizes.gradient_checkpointing}
        widths = sizes.channels
        self.bias = nn.Parameter(torch.zeros(1, widths[0], 1, 1))
        self.before = nn.ModuleList(
            blocks(c, d, **options) for c, d in zip(widths, sizes.prior_depths_before, strict=True)
        )
        self.latents = nn.ModuleList(
            LatentScale(c, z, sizes.levels, **options) for c, z in zip(widths, sizes.latent_channels, strict=True)
        )
        self.after = nn.ModuleList(
            blocks(c, d, **options) for c, d in zip(widths, sizes.prior_depths_after, strict=False)
        )
        self.up = nn.ModuleList(up(a, b) for a, b in itertools.pairwise(widths))

    def forward(
        self,
        coders: Sequence[SymbolCoder],
        level: Level,
        features: Sequence[torch.Tensor] | None,
        shape: tuple[int, int, int],
        insides: Sequence[Bool[torch.Tensor, "1 1 _ _"] | None],
    ) -> list[DecodedScale]:
        """Drive a coder per scale through all scales, coarsest first.

        Args:
            coders: What happens to each scale's values.
            level: Rate level.
            features: The encoder's, per scale; None where latents are decoded.
            shape: Batch, and height and width of the coarsest latent.
            insides: Per scale, False where nothing is coded, because the position lies in the padding; None: code all.
        """
        batch, height, width = shape
        bias = self.bias.expand(batch, -1, height, width)
        f: torch.Tensor = bias
        scales: list[DecodedScale] = []
        for number, latent in enumerate(self.latents):
            before = self.before[number](f)
            e = None if features is None else features[number]
            z_hat, f = latent(before, e, coders[number], level, insides[number])
            coded = torch.ones_like(z_hat[:1], dtype=torch.bool)
            record = ScaleLatent(z_hat, coded, prior=None if scales else bias)
            scales.append(DecodedScale(before, f, record))
            if number < len(self.up):
                f = self.up[number](self.after[number](f))
        return scales
