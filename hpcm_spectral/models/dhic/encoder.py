"""The encoder: what every scale's latent is made from."""

import itertools

import torch
from jaxtyping import Float
from torch import nn

from hpcm_spectral.models.dhic.blocks import Block, WeightedConv, blocks, down
from hpcm_spectral.models.dhic.sizes import Sizes


class Encoder(nn.Module):
    """Features of an image at every scale.

    .. code-block:: none

        x ──► patches ──► stem ──► 3x3 ──► blocks ──┬──► down ──► blocks ──┬──► down ──► ...
                                                    ▼                      ▼
                                             finest scale            next coarser one
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        options = {"checkpointed": sizes.gradient_checkpointing}
        patch_channels, stem = 3 * sizes.patch**2, sizes.stem_channels
        self.patches = nn.PixelUnshuffle(sizes.patch)
        # Patches enter the stem by a block if there is one; without, the 3x3 convolution takes them as they are.
        widths = [patch_channels, *[stem] * sizes.stem_depth]
        self.stem = nn.Sequential(*(Block(a, b, **options) for a, b in itertools.pairwise(widths)))
        finest_first = list(reversed(sizes.channels))
        self.enter = WeightedConv(widths[-1], finest_first[0])
        self.down = nn.ModuleList(down(a, b) for a, b in itertools.pairwise(finest_first))
        depths = reversed(sizes.encoder_depths)
        self.blocks = nn.ModuleList(blocks(c, depth, **options) for c, depth in zip(finest_first, depths, strict=True))

    def forward(self, x: Float[torch.Tensor, "B 3 H W"]) -> list[Float[torch.Tensor, "B _ _ _"]]:
        """Features per scale, coarsest first; sides are multiples of the coarsest scale's stride."""
        features = [self.blocks[0](self.enter(self.stem(self.patches(x))))]
        for halve, following in zip(self.down, list(self.blocks)[1:], strict=True):
            features.append(following(halve(features[-1])))
        return features[::-1]
