"""Pixels of more than 8 bits, brought to 8."""

import re
import sys
from typing import Any

import numpy as np
from jaxtyping import Bool, Num, UInt8
from PIL.ImageFile import ImageFile

from hpcm_spectral.data import tiff
from hpcm_spectral.data.unreadable import UnreadableError

# The share of the largest values, and of the least, that does not count where a picture's span is found.
_STRAY = 0.01
# How far a picture may exceed its span, and what part of it it must reach.
_MOST, _LEAST = 1.5, 1 / 16
_COLOUR_16 = re.compile(r"((?:RGB|RGBA|RGBX|CMYK|[RGBA]);16)([LBN])")
_OTHER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def is_wide(mode: str) -> bool:
    """Whether a mode is grey of more than 8 bits."""
    return mode in ("F", "I") or mode.startswith("I;16")


def grey_to_8_bits(image: ImageFile) -> tuple[UInt8[np.ndarray, "H W"], Bool[np.ndarray, "H W"] | None]:
    """Bring decoded grey of more than 8 bits to 8.

    Returns:
        The grey, and where it is opaque; None: everywhere.

    Raises:
        UnreadableError: The values fit no span that white is known of.
    """
    values = np.array(image)
    white = 65535
    if image.mode == "F":
        white = _white_of_floats(values)
    elif image.format == "FITS":
        raise UnreadableError("integers of FITS have no agreed black and white", "save it as PNG or TIFF")
    elif image.format == "TIFF" and tiff.bits(image) < 16:
        white = 2 ** tiff.bits(image) - 1
    low, high = _bulk(values)
    if not -white / 2 <= low <= high <= _MOST * white:
        raise UnreadableError(
            f"its values go from {low:g} to {high:g}, far beyond 0 to {white}", "bring them into that span"
        )
    key = image.info.get("transparency")
    opaque = None if key is None else values != key
    if image.format == "TIFF" and tiff.white_is_zero(image):
        values = white - values
    return np.rint(np.clip(values * (255 / white), 0, 255)).astype(np.uint8), opaque


def _white_of_floats(values: Num[np.ndarray, "H W"]) -> int:
    if not np.isfinite(values).all():
        raise UnreadableError("some of its values are infinite or no numbers (NaN)", "replace these by others")
    _, high = _bulk(values)
    # Whole numbers count something: of a nearly black picture of 0 to 255, too.
    whole = values == np.rint(values)
    counts = whole.mean() >= 1 - _STRAY and np.count_nonzero(whole & (values > 1)) > 1
    if high <= _MOST and not counts:
        return 1
    for white in (255, 65535):
        if (counts or high >= _LEAST * white) and high <= _MOST * white:
            return white
        counts = False
    raise UnreadableError(
        f"its floating point values reach {high:g}, which tells none of 0 to 1, 0 to 255 and 0 to 65535 apart",
        "bring them to 0 to 1",
    )


def _bulk(values: Num[np.ndarray, "H W"]) -> tuple[float, float]:
    """The least and the largest value without the strays, of which there is at least one among three or more."""
    strays = max(int(_STRAY * values.size), int(values.size > 2))
    ends = [strays, values.size - 1 - strays]
    low, high = np.partition(values, ends, axis=None)[ends]
    return float(low), float(high)


def other_bytes(image: ImageFile) -> list[Any] | None:
    """What would decode the lower bytes of 16-bit colours, where Pillow decodes the upper ones; None: it does not."""
    tiles = []
    for tile in image.tile:
        raw, *rest = (tile.args,) if isinstance(tile.args, str) else tile.args or ("",)
        if raw == "LA;16B":
            raw = "RGBA"  # all four bytes
        elif match := _COLOUR_16.fullmatch(str(raw)):
            raw = match[1] + _OTHER[match[2]]
        else:
            return None
        tiles.append(tile._replace(args=raw if isinstance(tile.args, str) else (raw, *rest)))
    return tiles


def colours_to_8_bits(
    upper: UInt8[np.ndarray, "H W C"], lower: UInt8[np.ndarray, "H W C"], key: tuple[int, ...] | None
) -> tuple[UInt8[np.ndarray, "H W C"], Bool[np.ndarray, "H W"] | None]:
    """Round 16-bit colours, given by their bytes, to 8 bits.

    Args:
        upper: The upper bytes.
        lower: The lower bytes.
        key: The 16-bit colour that is transparent, if any.

    Returns:
        The colours, and where they are opaque; None: everywhere.
    """
    values = upper.astype(np.uint32) << 8 | lower
    # 65535 = 255 * 257; half of 257 makes the division round to nearest.
    return ((values + 128) // 257).astype(np.uint8), None if key is None else (values != key).any(axis=2)
