"""Reading one image file of any kind into 8-bit RGB sRGB."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile
from torch import Tensor

from hpcm_spectral.data import tiff
from hpcm_spectral.data.profiles import Profile, profile_of, to_srgb
from hpcm_spectral.data.unreadable import UnreadableError
from hpcm_spectral.data.values import colours_to_8_bits, grey_to_8_bits, is_wide, other_bytes
from hpcm_spectral.errors import DataError
from hpcm_spectral.names import printable

# In millions of pixels; what Pillow itself allows.
MAX_MEGAPIXELS = 178
_STRIP_BYTES = 200_000
_raised = threading.RLock()


class Head(NamedTuple):
    """What an image's file says before it is decoded.

    Attributes:
        width: In pixels, as stored or as shown where they differ.
        height: Likewise.
        profile: What becomes of its colour profile.
    """

    width: int
    height: int
    profile: Profile


def read_image(path: Path, max_megapixels: int = MAX_MEGAPIXELS) -> UInt8[np.ndarray, "H W 3"]:
    """Decode an image file of any format and mode that Pillow decodes; ``docs/images.md`` says how each is taken.

    Returns:
        The pixels as sRGB, 0 to 255, in an array of their own.

    Raises:
        DataError: The file is missing, damaged, no image, of more than ``max_megapixels`` million pixels, or of a kind
            whose values cannot be trusted.
    """
    return read_image_and_profile(path, max_megapixels)[0]


def read_image_and_profile(
    path: Path, max_megapixels: int = MAX_MEGAPIXELS
) -> tuple[UInt8[np.ndarray, "H W 3"], Profile]:
    """Decode an image as `read_image` does; besides, what became of its colour profile.

    Raises:
        DataError: As `read_image` does.
    """
    with _opened(path, max_megapixels) as image:
        profile, lower = profile_of(image), other_bytes(image)
        if lower is None:
            return _rgb(image, None), profile
        with _opened(path, max_megapixels) as again:
            again.tile = lower
            return _rgb(image, again), profile


def read_head(path: Path, max_megapixels: int = MAX_MEGAPIXELS) -> Head:
    """Read what the head of an image's file says, without decoding it.

    Raises:
        DataError: As `read_image` does, as far as the head tells.
    """
    with _opened(path, max_megapixels) as image:
        return Head(*image.size, profile_of(image))


def check_image(path: Path, max_megapixels: int = MAX_MEGAPIXELS) -> Head:
    """Decode an image to see that it can be; the head says its size as shown.

    Raises:
        DataError: As `read_image` does.
    """
    pixels, profile = read_image_and_profile(path, max_megapixels)
    return Head(pixels.shape[1], pixels.shape[0], profile)


def read_size(path: Path, max_megapixels: int = MAX_MEGAPIXELS) -> tuple[int, int]:
    """Read width and height of an image from the head of its file, as `read_head` does."""
    return read_head(path, max_megapixels)[:2]


def as_tensor(pixels: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "3 H W"]:
    """Turn 8-bit pixels of any strides into what models take: a float32 tensor of its own, 0 to 1."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return torch.from_numpy(planes).float().div_(255)


@contextmanager
def _opened(path: Path, max_megapixels: int) -> Iterator[ImageFile]:
    try:
        if not path.is_file() and path.exists():
            raise UnreadableError("it is a folder or a device", "name a file")
        with warnings.catch_warnings(), _allowed(max_megapixels):
            # Pillow warns of harmless oddities, such as a broken EXIF block, in files that decode well.
            warnings.simplefilter("ignore")
            # Given a path, Pillow maps uncompressed TIFFs into memory, and garbles those that are turned.
            with path.open("rb") as file, Image.open(file) as image:
                if image.format == "EPS":  # Pillow would start Ghostscript
                    raise UnreadableError("it is an EPS file, which is a program to run", "save it as PNG")
                if image.format == "TIFF":
                    tiff.prepare(image)
                if image.width * image.height > max_megapixels * 1_000_000:
                    raise Image.DecompressionBombError
                yield image
    except DataError:
        raise
    # Damaged files make Pillow's decoders raise almost anything: SyntaxError, struct.error, IndexError...
    except Exception as error:
        reason = _reason(error, path, max_megapixels)
        name = printable(str(path))
        raise DataError(f"The image file {name} must be readable, but {reason.reason}; {reason.remedy}.") from error


@contextmanager
def _allowed(max_megapixels: int) -> Iterator[None]:
    """Raise Pillow's own limit, which is the whole process's, where more is allowed than it."""
    if max_megapixels <= MAX_MEGAPIXELS:
        yield
        return
    with _raised:
        former, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_megapixels * 1_000_000
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = former


def _reason(error: Exception, path: Path, max_megapixels: int) -> UnreadableError:
    if isinstance(error, UnreadableError):
        return error
    if isinstance(error, Image.UnidentifiedImageError):
        return _unrecognised(path)
    if isinstance(error, Image.DecompressionBombError):
        return UnreadableError(
            f"it has more than {max_megapixels} million pixels, the limit against decompression bombs",
            "raise max_megapixels if it is to be trusted",
        )
    message = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UnreadableError("reading it gives: " + " ".join(message.split()).rstrip("."))


def _unrecognised(path: Path) -> UnreadableError:
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return UnreadableError("it is empty")
    if head[4:8] == b"ftyp" and b"avif" in head:
        return UnreadableError("it is an AVIF picture, which this Pillow does not read", "run pip install -U pillow")
    if head[4:8] == b"ftyp" and any(brand in head for brand in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")):
        return UnreadableError(
            "it is a HEIC picture, which Pillow reads with a plug-in only", "run pip install pillow-heif"
        )
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return UnreadableError(
            "Pillow does not recognise its content, a TIFF that is damaged or of an unusual kind (as floating point "
            "colours are)",
            "save it anew with 8 or 16 bits",
        )
    return UnreadableError("Pillow does not recognise its content")


def _rgb(image: ImageFile, lower: ImageFile | None) -> UInt8[np.ndarray, "H W 3"]:
    """Decode; ``lower`` decodes to the lower bytes of 16-bit colours."""
    raw = image.tile[0].args if image.format == "PNG" and image.tile else None
    image.load()
    opaque = None
    colours: Image.Image = image
    if lower is not None:
        lower.load()
        bytes_of = np.array(lower)
        if raw == "LA;16B":
            bytes_of = bytes_of[:, :, [1, 1, 1, 3]]
        pixels, opaque = colours_to_8_bits(np.array(image), bytes_of, image.info.get("transparency"))
        colours = Image.fromarray(pixels, image.mode)
    elif is_wide(image.mode):
        pixels, opaque = grey_to_8_bits(image)
        colours = Image.fromarray(pixels)
    elif image.has_transparency_data:
        if raw in ("L;2", "L;4"):
            # The transparent grey is named by its value of 2 or 4 bits.
            image.info["transparency"] *= {"L;2": 85, "L;4": 17}[raw]
        colours = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = colours.getchannel("A") if colours.mode == "RGBA" else None
    if opaque is not None:
        alpha = Image.fromarray(np.where(opaque, 255, 0).astype(np.uint8))
    shown = to_srgb(image, colours.convert("RGB") if alpha else colours)
    if alpha:
        shown.putalpha(alpha)
        shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return _pixels(_upright(shown, image))


def _upright(shown: Image.Image, image: Image.Image) -> Image.Image:
    """Turn what is shown of an image as the image's EXIF says."""
    # A picture of one pixel asks the same question, without the copies of the whole one.
    probe = Image.new("L", (1, 1))
    probe.info = image.info
    if probe.getexif().get(ExifTags.Base.Orientation, 1) not in range(2, 9):
        return shown
    shown = shown.copy()  # which belongs to no format
    shown.info = image.info
    return ImageOps.exif_transpose(shown)


def _pixels(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    """Copy what ``np.array`` gives, by strips that fit a processor's cache: it would join, then copy, all at once."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _STRIP_BYTES // (3 * image.width))
    for top in range(0, image.height, rows):
        pixels[top : top + rows] = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
    return pixels
