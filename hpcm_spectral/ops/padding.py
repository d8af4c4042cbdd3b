"""Centred zero padding to a multiple, and its inverse."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float


@dataclass(frozen=True)
class Padding:
    """Rows and columns added on each side of an image."""

    left: int
    right: int
    top: int
    bottom: int

    def pad(self, x: Float[torch.Tensor, "B C H W"]) -> Float[torch.Tensor, "B C H_padded W_padded"]:
        """Surround an image with zeros."""
        if not any((self.left, self.right, self.top, self.bottom)):
            return x
        return F.pad(x, (self.left, self.right, self.top, self.bottom))

    def crop(self, x: Float[torch.Tensor, "B C H_padded W_padded"]) -> Float[torch.Tensor, "B C H W"]:
        """Cut the padding off again."""
        height, width = x.shape[-2:]
        return x[..., self.top : height - self.bottom, self.left : width - self.right]


def centred_padding(height: int, width: int, multiple: int) -> Padding:
    """Padding of an image to the next multiple, half of it on each side (the odd line at the bottom or right).

    Args:
        height: Rows of the image, at least 1.
        width: Columns of the image, at least 1.
        multiple: Both padded sides are divisible by it.

    Example:
        >>> centred_padding(255, 300, 256)
        Padding(left=106, right=106, top=0, bottom=1)
    """
    rows, columns = -height % multiple, -width % multiple
    return Padding(columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
