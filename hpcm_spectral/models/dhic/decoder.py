"""The decoder: from the features of all scales to the image."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import nn

from hpcm_spectral.codec import Level
from hpcm_spectral.models.dhic.blocks import Block, WeightedConv, blocks, up
from hpcm_spectral.models.dhic.prior import DecodedScale
from hpcm_spectral.models.dhic.rate import RateTable
from hpcm_spectral.models.dhic.sizes import Sizes
from hpcm_spectral.ops.pointwise import PointwiseConv2d


class Merge(nn.Module):
    """Brings a scale's features into the decoder's own: ``1x1(block(cat(d, gain * after, gain * before)))``."""

    def __init__(self, channels: int, levels: int, *, checkpointed: bool) -> None:
        super().__init__()
        self.gain = RateTable(levels, channels)
        self.block = Block(3 * channels, checkpointed=checkpointed)
        self.leave = PointwiseConv2d(3 * channels, channels)

    def forward(self, d: Float[torch.Tensor, "B C h w"], scale: DecodedScale, level: Level) -> torch.Tensor:
        """Same shape as ``d``."""
        gain = self.gain(level)
        return self.leave(self.block(torch.cat((d, scale.after * gain, scale.before * gain), dim=1)))


class Decoder(nn.Module):
    """From a learned bias of its own over ever finer scales.

    .. code-block:: none

        bias ──► blocks ──► merge 1 ──► blocks ──► up ──► blocks ──► merge 2 ──► ... ──► 3x3 ──► patches ──► x_hat
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        options = {"checkpointed": sizes.gradient_checkpointing}
        widths = sizes.channels
        self.bias = nn.Parameter(torch.zeros(1, widths[0], 1, 1))
        self.before = nn.ModuleList(
            blocks(c, d, **options) for c, d in zip(widths, sizes.decoder_depths_before, strict=True)
        )
        self.merge = nn.ModuleList(Merge(c, sizes.levels, **options) for c in widths)
        self.after = nn.ModuleList(
            blocks(c, d, **options) for c, d in zip(widths, sizes.decoder_depths_after, strict=True)
        )
        self.up = nn.ModuleList(up(a, b) for a, b in itertools.pairwise(widths))
        self.leave = WeightedConv(widths[-1], 3 * sizes.patch**2)
        self.patches = nn.PixelShuffle(sizes.patch)

    def forward(
        self, scales: Sequence[DecodedScale], level: Level, layout: torch.memory_format = torch.preserve_format
    ) -> Float[torch.Tensor, "B 3 H W"]:
        """The reconstruction, not clamped; ``layout`` is what features are to have in memory."""
        batch, _, height, width = scales[0].before.shape
        d = _laid_out(self.bias.expand(batch, -1, height, width), layout)
        for number, scale in enumerate(scales):
            if number:
                d = self.up[number - 1](d)
            scale = scale._replace(before=_laid_out(scale.before, layout), after=_laid_out(scale.after, layout))
            d = self.after[number](self.merge[number](self.before[number](d), scale, level))
        return self.patches(self.leave(d))


def _laid_out(x: torch.Tensor, layout: torch.memory_format) -> torch.Tensor:
    return x if layout == torch.preserve_format else x.contiguous(memory_format=layout)
