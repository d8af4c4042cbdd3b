"""Finding the images of a folder."""

import os
from functools import cache
from pathlib import Path
from typing import NoReturn

from PIL import Image

from hpcm_spectral.errors import DataError

# Pillow recognises these but needs another program, another system or a plug-in to decode them.
_NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})


@cache
def image_extensions() -> frozenset[str]:
    """Name the file extensions that Pillow decodes by itself, in lower case with their dot, such as ``.png``."""
    return frozenset(
        extension.lower()
        for extension, name in Image.registered_extensions().items()
        if name in Image.OPEN and name not in _NOT_DECODED
    )


def list_images(folder: Path) -> list[Path]:
    """List the image files in a folder and in all folders inside it.

    The extension decides, in either case of letters; the files are not opened. Files and folders whose name
    starts with a dot are skipped. Links to folders are followed, and each folder is listed once however many
    links lead to it, so that a link to a parent does no harm.

    Returns:
        At least one path, each starting with ``folder``, sorted.

    Raises:
        DataError: The folder does not exist, is a file, cannot be read (nor can one inside it), or holds no image.
    """
    if not folder.exists():
        raise DataError(f"The image folder must exist, but there is no {folder}; check the path.")
    if not folder.is_dir():
        raise DataError(f"The image folder must be a folder, but {folder} is a file; name its folder.")
    found: list[Path] = []
    seen = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
        folders[:] = [name for name in sorted(folders) if not name.startswith(".") and _first(parent, name, seen)]
        images = [Path(parent, n) for n in files if not n.startswith(".")]
        # Opening a pipe, socket or device would wait for ever; a broken link counts as a file.
        found += [
            path
            for path in images
            if path.suffix.lower() in image_extensions() and (path.is_file() or not path.exists())
        ]
    if not found:
        raise DataError(
            f"The image folder must hold images, but {folder} has no file ending in .png, .jpg, .webp, .tif "
            f"or another of the {len(image_extensions())} extensions that Pillow reads; check the path."
        )
    return sorted(found)


def _first(parent: str, name: str, seen: set[str]) -> bool:
    """Whether a folder has not been seen yet; then it is from now on."""
    real = os.path.realpath(Path(parent, name))
    new = real not in seen
    seen.add(real)
    return new


def _unreadable(error: OSError) -> NoReturn:
    raise DataError(
        f"Every folder with images must be readable, but {error.filename} is not ({error.strerror}); "
        "change its permissions or move it away."
    ) from error
