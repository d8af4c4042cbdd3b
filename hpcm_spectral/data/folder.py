"""Finding the images of a folder, or files of another kind, by one set of rules for all programs."""

import logging
import os
from collections.abc import Set
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from PIL import Image

from hpcm_spectral.errors import DataError
from hpcm_spectral.names import few
from hpcm_spectral.runs.folder import CONFIG, PROVENANCE

# Pillow recognises these but needs another program, another system or a plug-in to decode them.
_NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
# Opened as JPEG.
_OF_JPEG = "MPO"
_HEIF = frozenset({".heic", ".heif", ".hif"})
# What tells a folder of these programs' own results: a run's, an evaluation's, a report's.
_RESULTS: tuple[Set[str], ...] = ({CONFIG, PROVENANCE}, {"per_image.csv", PROVENANCE}, {"report.html", "runs.csv"})
# What such a folder has beside the user's files where he had the results written among them.
_OWN = frozenset({"curves.png", "reconstructions.png", "spectrum.png", "spectral_evolution.png", "rate_distortion.png"})
_OWN_FOLDERS = frozenset({"samples", "wandb"})

logger = logging.getLogger(__name__)

if find_spec("pillow_heif"):  # iPhones' pictures, where the plug-in is installed
    __import__("pillow_heif").register_heif_opener()


@cache
def image_extensions() -> frozenset[str]:
    """Name the file extensions that Pillow decodes by itself, in lower case with their dot, such as ``.png``."""
    return frozenset(
        extension.lower()
        for extension, name in Image.registered_extensions().items()
        if (name in Image.OPEN or name == _OF_JPEG) and name not in _NOT_DECODED
    )


def list_images(folder: Path) -> list[Path]:
    """List the image files in a folder and in all folders inside it, as `list_files` does.

    Raises:
        DataError: The folder does not exist, is a file, cannot be read (nor can one inside it), or holds no image.
    """
    return list_files(folder, image_extensions(), "images")


def list_files(folder: Path, extensions: Set[str], kind: str) -> list[Path]:
    """List the files of some extensions in a folder and in all folders inside it.

    The extension decides, in either case of letters; the files are not opened. Files and folders whose name starts with
    a dot are skipped, what these programs have written as their results is left out, and so are pipes, sockets and
    devices; what else is left out is named in the log. Links to folders are followed, and each folder is listed once
    however many links lead to it, so that a link to a parent does no harm.

    Args:
        folder: Where.
        extensions: In lower case, with their dot.
        kind: What the files are, for people.

    Returns:
        At least one path, each starting with ``folder``, sorted.

    Raises:
        DataError: The folder does not exist, is a file, cannot be read (nor can one inside it), or holds no such file.
    """
    if not folder.exists():
        raise DataError(f"The folder of {kind} must exist, but there is no {folder}; check the path.")
    if not folder.is_dir():
        raise DataError(f"The folder of {kind} must be a folder, but {folder} is a file; name its folder.")
    found: list[str] = []
    ignored: list[str] = []
    results: list[str] = []
    seen = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
        names, own = {*files}, frozenset[str]()
        if any(mark <= names for mark in _RESULTS):
            if parent != str(folder):
                results.append(os.path.relpath(parent, folder))
                folders.clear()
                continue
            own = _OWN | _OWN_FOLDERS
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and name not in own & _OWN_FOLDERS and _first(parent, name, seen)
        ]
        for name in files:
            if name.startswith(".") or name in own:
                continue
            path = os.path.join(parent, name)  # noqa: PTH118
            # Opening a pipe, socket or device would wait for ever; a broken link counts as a file.
            if os.path.splitext(name)[1].lower() in extensions and _may_be_opened(path):  # noqa: PTH122
                found.append(path)
            else:
                ignored.append(os.path.relpath(path, folder))
    _tell(folder, kind, sorted(ignored), sorted(results))
    if not found:
        ends = few(sorted(extensions)) if len(extensions) < 4 else "an extension that Pillow reads, as .png or .jpg"
        raise DataError(
            f"The folder of {kind} must hold some, but {folder} has no file ending in {ends}; check the path."
        )
    # As paths are sorted, which takes longer: folder by folder.
    return [Path(path) for path in sorted(found, key=lambda path: path.split(os.sep))]  # noqa: PTH206


def _tell(folder: Path, kind: str, ignored: list[str], results: list[str]) -> None:
    """Say what a folder holds beside what is used."""
    if ignored:
        files = "1 file" if len(ignored) == 1 else f"{len(ignored)} files"
        needed = ""
        if kind == "images" and any(name.lower().endswith(tuple(_HEIF)) for name in ignored):
            needed = "; HEIC is read after pip install pillow-heif"
        logger.info("%s ignored in %s, not taken for %s: %s%s", files, folder, kind, few(ignored), needed)
    if results:
        logger.info("left out in %s: results of these programs in %s", folder, few(results))


def _may_be_opened(path: str) -> bool:
    return os.path.isfile(path) or not os.path.exists(path)  # noqa: PTH110, PTH113


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
