"""g_a, g_s, h_a and h_s of HPCM from widths and depths."""

from collections.abc import Sequence

from torch import nn

from hpcm_spectral.models.layers import PConvRB, down, up


def _blocks(channels: int, depth: int) -> list[nn.Module]:
    return [PConvRB(channels) for _ in range(depth)]


def build_g_a(widths: Sequence[int], depths: Sequence[int], latent_channels: int) -> nn.Sequential:
    """Analysis transform: image [B, 3, H, W] to y [B, latent_channels, H/16, W/16].

    Args:
        widths: Channels at 1/2, 1/4 and 1/8 of the image's size.
        depths: Residual blocks there.
        latent_channels: Channels of y.
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
