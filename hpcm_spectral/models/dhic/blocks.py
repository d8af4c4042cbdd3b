"""The blocks of DHIC: no normalisation, depthwise mixing over space, 1x1 convolutions over channels."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import nn

from hpcm_spectral.ops import fused_blocks
from hpcm_spectral.ops.pointwise import PointwiseConv2d, cast, channels_last, fast
from hpcm_spectral.ops.recomputing import recomputed

Features = Float[torch.Tensor, "B C h w"]
# Separable weights of a 3x3 convolution's taps.
TAPS = (0.75, 1.0, 0.75)
# With fewer multiplications in its expansion a feed-forward network is faster as two convolutions.
LEAST_FFN = 2e8


def steep(conv: nn.Conv2d, x: Features, least: float | None = None) -> Float[torch.Tensor, "B D h w"]:
    """Four times ``wsilu`` of a convolution of ``x``, where ``wsilu(v) = v * sigmoid(4 v) = silu(4 v) / 4``.

    What follows divides by four in its weights: powers of two are exact, and no pass over the features is spent.
    ``least`` is that of :func:`.fast`.
    """
    assert conv.bias is not None
    if fast(x, conv, least):
        return fused_blocks.steep(*cast(channels_last(x), 4 * conv.weight, 4 * conv.bias))
    return F.silu(F.conv2d(x, 4 * conv.weight, 4 * conv.bias))


class FFN(nn.Module):
    """``x + contract(a + b)``, where a and b are the halves of ``wsilu(expand(x))``."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = PointwiseConv2d(channels, 2 * hidden)
        self.contract = PointwiseConv2d(hidden, channels)

    def forward(self, x: Features) -> Features:
        """Same shape in and out."""
        if fast(x, self.expand, LEAST_FFN):
            assert self.expand.bias is not None
            assert self.contract.bias is not None
            weights = (4 * self.expand.weight, 4 * self.expand.bias, self.contract.weight / 4, self.contract.bias)
            return fused_blocks.folded_ffn(*cast(channels_last(x), *weights))
        first, second = steep(self.expand, x, LEAST_FFN).chunk(2, dim=1)
        return x + F.conv2d(first + second, self.contract.weight / 4, self.contract.bias)


class Mixer(nn.Module):
    """Depthwise 3x3 convolution + depthwise 1x1 convolution + identity, computed as the one 3x3 that they add up to.

    RepVGG keeps the branches apart while training; their sum has the same outputs and gradients.
    """

    identity: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("identity", F.pad(torch.ones(1, 1, 1, 1), (1, 1, 1, 1)), persistent=False)
        self.spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.point = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, x: Features, gain: float = 1.0) -> Features:
        """``gain`` times the sum of the branches."""
        weight = gain * (self.spatial.weight + F.pad(self.point.weight, (1, 1, 1, 1)) + self.identity)
        assert self.spatial.bias is not None
        assert self.point.bias is not None
        return F.conv2d(x, weight, self.spatial.bias + self.point.bias, padding=1, groups=x.shape[1])


class Block(nn.Module):
    """Residual block.

    .. code-block:: none

        x ──► 1x1 ──► wsilu ──► mixer ──► 1x1 ──► FFN ──► 1x1, if the channels change ──► (+)
        └───────────────────► 1x1, if the channels change ─────────────────────────────────┘

    Args:
        in_channels: Of the input.
        channels: Inside; None: as many.
        out_channels: Of the output; None: as inside.
        checkpointed: Compute the inside again in the backward pass instead of keeping it.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int | None = None,
        out_channels: int | None = None,
        *,
        checkpointed: bool = False,
    ) -> None:
        super().__init__()
        channels = in_channels if channels is None else channels
        out_channels = channels if out_channels is None else out_channels
        self.checkpointed = checkpointed
        self.enter = PointwiseConv2d(in_channels, channels)
        self.mixer = Mixer(channels)
        self.mix = PointwiseConv2d(channels, channels)
        self.ffn = FFN(channels, 2 * channels)
        self.leave = PointwiseConv2d(channels, out_channels) if out_channels != channels else nn.Identity()
        self.shortcut = PointwiseConv2d(in_channels, out_channels) if out_channels != in_channels else nn.Identity()

    def forward(self, x: Features) -> Float[torch.Tensor, "B D h w"]:
        """The output's channels differ if told so."""
        return recomputed(self._forward, x, when=self.checkpointed and self.training)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        inside = self.mix(self.mixer(steep(self.enter, x), 0.25))
        return self.shortcut(x) + self.leave(self.ffn(inside))


class WeightedConv(nn.Module):
    """3x3 convolution without bias whose taps are weighted by ``a (x) a``, a = (0.75, 1, 0.75)."""

    taps: torch.Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        self.register_buffer("taps", torch.outer(torch.tensor(TAPS), torch.tensor(TAPS)), persistent=False)

    def forward(self, x: Features) -> Float[torch.Tensor, "B D h w"]:
        """Same sides in and out."""
        return F.conv2d(x, self.weight * self.taps, padding=1)


def blocks(channels: int, depth: int, *, checkpointed: bool) -> nn.Sequential:
    """``depth`` blocks of the same width, perhaps none."""
    return nn.Sequential(*(Block(channels, checkpointed=checkpointed) for _ in range(depth)))


def down(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Halve the resolution."""
    return nn.Conv2d(in_channels, out_channels, 2, stride=2)


def up(in_channels: int, out_channels: int) -> nn.Sequential:
    """Double the resolution."""
    return nn.Sequential(
        PointwiseConv2d(in_channels, 4 * out_channels), nn.PixelShuffle(2), FFN(out_channels, 2 * out_channels)
    )
