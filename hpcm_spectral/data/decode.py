"""Reading one image file of any kind into 8-bit RGB."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from hpcm_spectral.errors import DataError


def read_image(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Decode an image file of any format and mode that Pillow decodes.

    Grey becomes three equal channels. 16-bit and 32-bit integer grey is taken to span 0 to 65535. Floating
    point grey is taken to span 0 to 1 where no value exceeds 1, and 0 to 255 otherwise. Transparent pixels
    are laid over white, so that a fully opaque image keeps its exact values. The EXIF orientation is
    applied. Of an animation the first frame is read. Colour profiles are ignored.

    Returns:
        The pixels, 0 to 255, in an array of their own.

    Raises:
        DataError: The file is missing, damaged, no image, or so large that Pillow takes it for a decompression bomb.
    """
    with _opened(path) as image:
        return _rgb(ImageOps.exif_transpose(image))


def read_size(path: Path) -> tuple[int, int]:
    """Read the size of an image from the head of its file, without decoding it.

    Returns:
        Width and height in pixels as stored, that is before the EXIF orientation.

    Raises:
        DataError: The file is missing, no image or a decompression bomb.
    """
    with _opened(path) as image:
        return image.size


def as_tensor(pixels: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "3 H W"]:
    """Turn 8-bit pixels of any strides into what models take: a float32 tensor of its own, 0 to 1."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return torch.from_numpy(planes).float().div_(255)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Pillow warns of harmless oddities, such as a broken EXIF block, in files that decode well.
            warnings.simplefilter("ignore")
            # Given a path, Pillow maps uncompressed TIFFs into memory, and garbles those that are turned.
            with path.open("rb") as file, Image.open(file) as image:
                yield image
    # Damaged files make Pillow's decoders raise almost anything: SyntaxError, struct.error, IndexError...
    except Exception as error:
        raise DataError(
            f"The image file {path} must be readable, but {_reason(error)}; replace it or move it away."
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "Pillow does not recognise its content"
    if isinstance(error, Image.DecompressionBombError):
        return "it has more pixels than Pillow's limit against decompression bombs"
    message = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "reading it gives: " + " ".join(message.split()).rstrip(".")


def _rgb(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    if image.mode == "F":
        values = np.nan_to_num(np.array(image))
        scale = 255.0 if values.max() <= 1 else 1.0
        grey = np.rint(np.clip(values * scale, 0, 255)).astype(np.uint8)
    elif image.mode == "I" or image.mode.startswith("I;16"):
        # 65535 = 255 * 257; half of 257 makes the division round to nearest.
        wide = np.clip(np.array(image).astype(np.int64), 0, 65535)
        grey = ((wide + 128) // 257).astype(np.uint8)
    else:
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return np.array(image.convert("RGB"))
    return np.repeat(grey[:, :, None], 3, axis=2)
