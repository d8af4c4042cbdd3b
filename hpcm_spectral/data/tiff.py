"""What Pillow leaves open, or gets wrong, in TIFF files: which page is the picture, how its samples lie."""

from typing import Any, cast

from PIL import ImagePalette
from PIL.ImageFile import ImageFile

from hpcm_spectral.data.unreadable import UnreadableError

_SUBFILE_TYPE, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 258, 259, 262
_PLANAR, _COLOUR_MAP, _SAMPLE_FORMAT, _SUBSAMPLING = 284, 320, 339, 530
# Bits of the subfile type: a smaller version of another page, a mask for another page.
_NO_PICTURE = 0b101
_SEPARATE, _SIGNED, _YCBCR, _UNCOMPRESSED = 2, 2, 6, 1
# libtiff returns samples in the machine's order, but Pillow takes these for those of the file.
_NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}


def prepare(image: ImageFile) -> None:
    """Turn to the page that is the picture, and mend how Pillow would decode it; call it before anything is decoded.

    Raises:
        UnreadableError: No page is a picture, or Pillow's values would be wrong.
    """
    _choose_page(image)
    if _SIGNED in _several(_tag(image, _SAMPLE_FORMAT, 1)) and bits(image) < 32:
        raise UnreadableError(
            f"its values are signed integers of {bits(image)} bits, which have no agreed black and white",
            "save it with unsigned ones",
        )
    separate = _tag(image, _PLANAR, 1) == _SEPARATE
    if separate and image.mode in ("LA", "La", "PA"):
        raise UnreadableError("Pillow misreads grey with alpha in separate planes", "save it with interleaved samples")
    uncompressed = _tag(image, _COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED
    if uncompressed and _tag(image, _PHOTOMETRIC, 0) == _YCBCR and _tag(image, _SUBSAMPLING, (2, 2)) != (1, 1):
        raise UnreadableError("Pillow misreads uncompressed YCbCr of reduced chroma", "save it as RGB")
    if image.palette is not None and max(colours := _tag(image, _COLOUR_MAP, (0,))) < 256:
        # Some programs write 8 bits where the format asks for 16, and everybody reads them.
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))
    order = image.tag_v2.prefix.decode()[0].replace("I", "L").replace("M", "B")  # type: ignore[attr-defined]
    tiles = []
    for tile in image.tile:
        raw, *rest = cast(tuple[Any, ...], tile.args)
        if tile.codec_name == "libtiff":
            raw = _NATIVE.get(raw, raw)
        elif separate and bits(image) == 16:
            # Pillow takes planes of 16 bits for planes of 8. It has no such planes of CMYK, and says so.
            raw = f"{raw};16{order}"
        tiles.append(tile._replace(args=(raw, *rest)))
    image.tile = tiles


def white_is_zero(image: ImageFile) -> bool:
    """Whether a page of grey says that its lowest value is white."""
    return _tag(image, _PHOTOMETRIC, 0) == 0


def bits(image: ImageFile) -> int:
    """Bits of a sample."""
    return max(_several(_tag(image, _BITS, 1)))


def _choose_page(image: ImageFile) -> None:
    if not _tag(image, _SUBFILE_TYPE, 0) & _NO_PICTURE:
        return
    best, most, page = 0, 0, 0
    while True:
        page += 1
        try:
            image.seek(page)
        except EOFError:
            break
        if not _tag(image, _SUBFILE_TYPE, 0) & _NO_PICTURE and image.width * image.height > most:
            best, most = page, image.width * image.height
    if not best:
        raise UnreadableError(
            "it says that it holds thumbnails or masks only, as a camera's raw file may", "export the picture itself"
        )
    image.seek(best)


def _tag(image: ImageFile, number: int, default: Any) -> Any:
    return image.tag_v2.get(number, default)  # type: ignore[attr-defined]


def _several(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)
