"""Padding to a multiple, and its inverse."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Padding:
    """Rows and columns added on each side of an image.

    Args:
        left: Columns at the left.
        right: Columns at the right.
        top: Rows at the top.
        bottom: Rows at the bottom.
        mode: What they hold: zeros (``constant``), or the border's values (``replicate``).
    """

    left: int
    right: int
    top: int
    bottom: int
    mode: Literal["constant", "replicate"] = "constant"

    def pad(self, x: Float[torch.Tensor, "B C H W"]) -> Float[torch.Tensor, "B C H_padded W_padded"]:
        """Surround an image."""
        if not any((self.left, self.right, self.top, self.bottom)):
            return x
        return F.pad(x, (self.left, self.right, self.top, self.bottom), mode=self.mode)

    def crop(self, x: Float[torch.Tensor, "B C H_padded W_padded"]) -> Float[torch.Tensor, "B C H W"]:
        """Cut the padding off again."""
        height, width = x.shape[-2:]
        return x[..., self.top : height - self.bottom, self.left : width - self.right]

    def cells_inside(
        self, rows: int, columns: int, stride: int, device: torch.device | None = None
    ) -> Bool[torch.Tensor, "1 1 rows columns"] | None:
        """Where a position of a latent of the padded image, ``stride`` pixels wide, holds anything of the image.

        Returns:
            False where the position's square of pixels lies wholly in the padding; None if none does.

        Example:
            >>> Padding(left=0, right=4, top=0, bottom=1).cells_inside(2, 4, 2).int().tolist()
            [[[[1, 1, 0, 0], [1, 1, 0, 0]]]]
        """
        if max(self.left, self.right, self.top, self.bottom) < stride:
            return None

        def along(count: int, before: int, after: int) -> torch.Tensor:
            start = torch.arange(count, device=device) * stride
            return (start + stride > before) & (start < count * stride - after)

        vertical, horizontal = along(rows, self.top, self.bottom), along(columns, self.left, self.right)
        return (vertical[:, None] & horizontal)[None, None]


def centred_padding(height: int, width: int, multiple: int) -> Padding:
    """Padding of an image to the next multiple, half of it on each side (the odd line at the bottom or right).

    Example:
        >>> centred_padding(255, 300, 256)
        Padding(left=106, right=106, top=0, bottom=1, mode='constant')
    """
    rows, columns = -height % multiple, -width % multiple
    return Padding(columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)


def aligned_padding(height: int, width: int, multiple: int) -> Padding:
    """Padding of an image to the next multiple at its right and bottom only, with the border's values.

    No other way touches fewer positions of latents of any stride.

    Example:
        >>> aligned_padding(255, 300, 64)
        Padding(left=0, right=20, top=0, bottom=1, mode='replicate')
    """
    return Padding(0, -width % multiple, 0, -height % multiple, "replicate")
