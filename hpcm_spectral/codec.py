"""What a hierarchical codec shows of itself to stages, diagnostics and reports."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class ScaleLatent:
    """The decoded latent of one scale.

    Args:
        y_hat: Decoded values at this scale's size, with gradient. For HPCM they contain the values that
            coarser scales decoded; for a true hierarchy they are this scale's own.
        newly_coded: True where this scale coded a value, False where it inherited one; broadcasts over the batch.
    """

    y_hat: Float[torch.Tensor, "B C h w"]
    newly_coded: Bool[torch.Tensor, "1 C h w"]


@dataclass(frozen=True)
class PartialReconstruction:
    """What a decoder shows that has received a codec's scales up to one of them.

    Args:
        scale: Name of that scale, the last one received.
        x_hat: The reconstructions, not clamped.
        bits: What this scale alone costs, per image.
    """

    scale: str
    x_hat: Float[torch.Tensor, "B 3 H W"]
    bits: Float[torch.Tensor, " B"]


@runtime_checkable
class PartiallyDecodable(Protocol):
    """A codec that reconstructs from its first scales, as diagnostics need it."""

    def reconstructions(self, x: Float[torch.Tensor, "B 3 H W"]) -> list[PartialReconstruction]:
        """Reconstruct images from ever more scales, in the order in which they are coded.

        Args:
            x: Images in [0, 1].

        Returns:
            One record per scale; the last one's ``x_hat`` is the full reconstruction.
        """
        ...


@dataclass(frozen=True)
class EncodedImage:
    """An image as strings of an entropy coder.

    Args:
        y: The latent's string.
        z: The hyper latent's string.
        height: Of the image in pixels.
        width: Of the image in pixels.
        checksum: CRC-32 of the symbols of z, xor that of the symbols of y; None where a form of storage keeps none.
    """

    y: bytes
    z: bytes
    height: int
    width: int
    checksum: int | None = None
