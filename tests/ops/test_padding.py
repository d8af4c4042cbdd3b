"""Centred padding and its inverse."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import pytest
import torch

from hpcm_spectral.ops import centred_padding


@pytest.mark.parametrize(
    ("height", "width", "multiple", "left_right_top_bottom"),
    [
        (256, 512, 256, (0, 0, 0, 0)),
        (300, 200, 256, (28, 28, 106, 106)),
        (255, 257, 256, (127, 128, 0, 1)),
        (1, 1, 256, (127, 128, 127, 128)),
        (5, 3, 1, (0, 0, 0, 0)),
    ],
)
def test_values(height: int, width: int, multiple: int, left_right_top_bottom: tuple[int, int, int, int]) -> None:
    padding = centred_padding(height, width, multiple)

    assert (padding.left, padding.right, padding.top, padding.bottom) == left_right_top_bottom


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 64), (64, 63), (70, 3), (128, 64)])
def test_padded_image_is_the_image_amid_zeros(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width) + 1
    padding = centred_padding(height, width, 64)

    padded = padding.pad(x)

    rows, columns = padded.shape[-2:]
    assert (rows % 64, columns % 64) == (0, 0)
    assert rows - height < 64
    assert columns - width < 64
    assert int((padded != 0).sum()) == x.numel()
    assert torch.equal(padded[..., (rows - height) // 2 :, (columns - width) // 2 :][..., :height, :width], x)
    assert torch.equal(padding.crop(padded), x)
