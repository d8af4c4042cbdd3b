"""g_a, g_s, h_a and h_s of HPCM from widths and depths."""

import math
from collections.abc import Sequence

from torch import nn

from hpcm_spectral.models.hpcm.layers import PConvRB, down, up


def _blocks(channels: int, depth: int) -> list[nn.Module]:
    return [PConvRB(channels) for _ in range(depth)]


def build_g_a(widths: Sequence[int], depths: Sequence[int], latent_channels: int) -> nn.Sequential:
    """Analysis transform: image [B, 3, H, W] to y [B, latent_channels, H/16, W/16].

    ``widths`` are the channels at 1/2, 1/4 and 1/8 of the image's size, ``depths`` the residual blocks there.
    """
    layers: list[nn.Module] = []
    channels = 3
    for width, depth in zip(widths, depths, strict=True):
        layers += [down(channels, width, overlap=not layers), *_blocks(width, depth)]
        channels = width
    return nn.Sequential(*layers, down(channels, latent_channels))


def build_g_s(widths: Sequence[int], depths: Sequence[int], latent_channels: int) -> nn.Sequential:
    """Synthesis transform: y_hat [B, latent_channels, H/16, W/16] to image [B, 3, H, W], the mirror of g_a."""
    layers: list[nn.Module] = []
    channels = latent_channels
    for width, depth in zip(reversed(widths), reversed(depths), strict=True):
        layers += [up(channels, width), *_blocks(width, depth)]
        channels = width
    return nn.Sequential(*layers, up(channels, 3, overlap=True))


def build_h_a(latent_channels: int, hyper_channels: int) -> nn.Sequential:
    """Hyper analysis: y [B, latent_channels, h, w] to z [B, hyper_channels, h/4, w/4]."""
    return nn.Sequential(
        PConvRB(latent_channels),
        down(latent_channels, hyper_channels),
        *_blocks(hyper_channels, 3),
        down(hyper_channels, hyper_channels),
    )


def build_h_s(latent_channels: int, hyper_channels: int) -> nn.Sequential:
    """Hyper synthesis: z_hat to the prior of y [B, 2 * latent_channels, h, w], first scales, then means."""
    return nn.Sequential(
        up(hyper_channels, hyper_channels),
        *_blocks(hyper_channels, 3),
        up(hyper_channels, 2 * latent_channels),
        PConvRB(2 * latent_channels),
    )


def initialise(g_a: nn.Sequential, g_s: nn.Sequential, h_a: nn.Sequential, h_s: nn.Sequential) -> None:
    """Start the resampling convolutions so that they keep the variance of what passes through.

    PyTorch's default takes a transposed convolution's outputs for its inputs and shrinks the signal about
    forty-fold over g_s. The last layer starts quiet and at mid-grey, the mean of [0, 1].
    """
    for part in (g_a, g_s, h_a, h_s):
        for layer in part:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                taps = math.prod(layer.kernel_size)
                if isinstance(layer, nn.ConvTranspose2d):
                    # Strides spread the taps over as many output pixels.
                    taps //= math.prod(layer.stride)
                nn.init.normal_(layer.weight, std=(layer.in_channels * taps) ** -0.5)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
    last = g_s[-1]
    assert isinstance(last, nn.ConvTranspose2d)
    assert last.bias is not None
    nn.init.constant_(last.bias, 0.5)
    last.weight.data.mul_(0.3)
