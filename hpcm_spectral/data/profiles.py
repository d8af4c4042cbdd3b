"""Embedded colour profiles, converted to sRGB."""

from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image, ImageCms

# What becomes of an image's profile: there is none or it is sRGB; colours are converted; it cannot be used.
Profile = Literal["none", "converted", "unusable"]

# Modes by the colour space of a profile: the one that it is applied to, and those that come to it without loss.
_MODES = {
    "RGB": ("RGB", ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "YCbCr", "L", "LA", "La", "1", "I", "F")),
    "GRAY": ("L", ("L", "LA", "La", "1", "I", "F")),
    "CMYK": ("CMYK", ("CMYK",)),
}


def profile_of(image: Image.Image) -> Profile:
    """What becomes of the profile of an opened image, which need not be decoded."""
    found = _transform_of(image)
    return found if isinstance(found, str) else "converted"


def to_srgb(image: Image.Image, colours: Image.Image) -> Image.Image:
    """Convert colours to sRGB, values of 8 bits, by the profile of the image that they are of.

    Args:
        image: As opened.
        colours: Its colours, without alpha: L, RGB or CMYK.

    Returns:
        RGB, the values themselves where the profile is none, sRGB or unusable.
    """
    found = _transform_of(image)
    if isinstance(found, str):
        return colours if colours.mode == "RGB" else colours.convert("RGB")
    mode, transform = found
    return transform.apply(colours if colours.mode == mode else colours.convert(mode))


def profile_notes(profiles: Iterable[Profile]) -> list[str]:
    """Say what became of the profiles of some images; nothing where there was nothing to do.

    Example:
        >>> profile_notes(["none", "converted", "converted"])
        ['2 converted from their colour profiles to sRGB']
    """
    found = list(profiles)
    said = {
        "converted": "converted from their colour profiles to sRGB",
        "unusable": "with unusable colour profiles taken for sRGB",
    }
    return [f"{found.count(kind)} {words}" for kind, words in said.items() if kind in found]


def _transform_of(image: Image.Image) -> Profile | tuple[str, ImageCms.ImageCmsTransform]:
    content = image.info.get("icc_profile")
    if not content:
        return "none"
    return _transform(bytes(content), "I" if image.mode.startswith("I;16") else image.mode)


@lru_cache(maxsize=64)
def _transform(content: bytes, image_mode: str) -> Profile | tuple[str, ImageCms.ImageCmsTransform]:
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(content))
        mode, fitting = _MODES[profile.profile.xcolor_space.strip()]
        if image_mode not in fitting:
            return "unusable"
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        # What sRGB's many profiles do to a value is rounding, which is left out.
        probe = _probe(mode)
        change = np.array(transform.apply(probe)).astype(int) - np.array(probe.convert("RGB"))
    except (ImageCms.PyCMSError, KeyError, OSError, ValueError, TypeError):
        return "unusable"
    return "none" if mode != "CMYK" and np.abs(change).max() <= 1 else (mode, transform)


def _probe(mode: str) -> Image.Image:
    """Colours from everywhere in a mode's space, and all its greys."""
    greys = np.arange(256, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(greys[None])
    steps = np.linspace(0, 255, 16).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([cube, np.stack([greys] * 3, axis=1)])[None]).convert(mode)
