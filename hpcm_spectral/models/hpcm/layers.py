"""The residual blocks of HPCM and its resampling convolutions."""

import torch
from jaxtyping import Float
from torch import nn

from hpcm_spectral.ops.fused_blocks import expand_contract, partial_block
from hpcm_spectral.ops.pointwise import PointwiseConv2d, cast, channels_last, fast

SLOPE = 0.01


class ResidualBlock(nn.Module):
    """``x + expand-and-contract(mix(x))``: a 3x3 mixer over space, then 1x1 convolutions with a LeakyReLU between.

    Between these there are ``expansion`` times as many channels.
    """

    def __init__(self, channels: int, mixer: nn.Module, expansion: int) -> None:
        super().__init__()
        self.mixer = mixer
        self.expand = PointwiseConv2d(channels, expansion * channels)
        self.activation = nn.LeakyReLU(SLOPE)
        self.contract = PointwiseConv2d(expansion * channels, channels)

    def forward(self, x: Float[torch.Tensor, "B C H W"]) -> Float[torch.Tensor, "B C H W"]:
        """Same shape in and out."""
        if fast(x, self.expand):
            return self._fast(*cast(channels_last(x), *self._products()))
        return x + self.contract(self.activation(self.expand(self.mixer(x))))

    def _products(self) -> list[torch.Tensor]:
        """Weights and biases of the 1x1 convolutions."""
        return [*self.expand.parameters(), *self.contract.parameters()]

    def _fast(self, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return expand_contract(x, self.mixer(x), SLOPE, *weights)


class PartialConv(nn.Module):
    """3x3 convolution of the first quarter of the channels, a multiple of 4; the others pass through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.split = (channels // 4, channels - channels // 4)
        self.conv = nn.Conv2d(channels // 4, channels // 4, 3, padding=1)

    def forward(self, x: Float[torch.Tensor, "B C H W"]) -> Float[torch.Tensor, "B C H W"]:
        """Same shape in and out."""
        mixed, kept = x.split(self.split, dim=1)
        return torch.cat((self.conv(mixed), kept), dim=1)


class PConvRB(ResidualBlock):
    """Residual block with a partial 3x3 convolution, of the transforms."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, PartialConv(channels), expansion=4)

    def _fast(self, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        kernel = cast(*self.mixer.parameters())
        return partial_block(x, *kernel, SLOPE, *weights)


class DWConvRB(ResidualBlock):
    """Residual block with a depthwise 3x3 convolution, of the context networks."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, nn.Conv2d(channels, channels, 3, padding=1, groups=channels), expansion=2)


def down(in_channels: int, out_channels: int, *, overlap: bool = False) -> nn.Conv2d:
    """Halve the resolution with kernel 2, or with kernel 4 where windows shall overlap."""
    return nn.Conv2d(in_channels, out_channels, 4 if overlap else 2, stride=2, padding=1 if overlap else 0)


def up(in_channels: int, out_channels: int, *, overlap: bool = False) -> nn.ConvTranspose2d:
    """Double the resolution with kernel 2, or with kernel 4 where windows shall overlap."""
    return nn.ConvTranspose2d(in_channels, out_channels, 4 if overlap else 2, stride=2, padding=1 if overlap else 0)
