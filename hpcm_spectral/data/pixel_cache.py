"""Decoded images in files that all processes map into their memory, so that an image is decoded once."""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import platformdirs
from jaxtyping import UInt8

from hpcm_spectral.data.decode import MAX_MEGAPIXELS, read_image
from hpcm_spectral.data.heads import DECODER, real_path, stamp
from hpcm_spectral.files import user_path, whole_file

logger = logging.getLogger(__name__)
_FOLDER = "pixels"
_OWN = re.compile(r"\.?[0-9a-f]{32}\.(\w+\.)?npy")
_HEAD_BYTES = 128
# The share of the disk that stays free.
_FREE = 0.05
# What writing may take, as a share of the time that decoding takes, and seconds besides.
_SHARE, _SECONDS = 0.5, 2
_HOUR = 3600


class PixelCache:
    """Keeps the pixels of images as `read_image` gives them, a file each, for all processes and all later runs.

    An image's file is found by the image's path, size, times and what decodes it: that of an image that has changed
    is not found any more. Only images that `admit` has planned are added, as many as the limit allows: a set larger
    than it keeps the part that is in, where throwing out the oldest would throw out each image before its next use.
    What other sets have left goes first, the longest unused ahead.

    Args:
        folder: Where; if None, what the environment's HPCM_SPECTRAL_CACHE names, or a folder among the user's caches.
        limit_gib: GiB that all pixels in the folder may take; runs of different images that are at work together may
            each take it, until the next run begins. Nothing is added where less than a twentieth of the disk is free,
            nor while writing takes more than half the time of decoding.

    Attributes:
        folder: Where.
    """

    def __init__(self, folder: str | None = None, limit_gib: float = 20) -> None:
        given = folder or os.environ.get("HPCM_SPECTRAL_CACHE")
        self.folder = user_path(given) if given else platformdirs.user_cache_path("hpcm-spectral")
        self._limit = int(limit_gib * 2**30)
        self._pixels = self.folder / _FOLDER
        self._planned = 0
        self._admitted: set[Path] = set()
        self._names: set[str] = set()
        self._usable = True
        self._decoding = self._writing = 0.0

    def admit(self, images: Iterable[tuple[Path, int]]) -> int:
        """Plan which images are kept, after those planned before, and make room for them.

        Args:
            images: Paths, and how many pixels each has. The first ones are kept if not all can be.

        Returns:
            How many of them are kept.
        """
        try:
            self._pixels.mkdir(parents=True, exist_ok=True)
            others = dict(self._entries())
            if not os.access(self._pixels, os.W_OK):
                raise PermissionError(None, "it is read-only", str(self._pixels))
        except OSError as error:
            self._give_up(error)
            return 0
        admitted, now = 0, time.time()
        for path, pixels in images:
            size = 3 * pixels + _HEAD_BYTES
            if path not in self._admitted:
                if self._planned + size > self._limit:
                    continue
                self._planned += size
                self._admitted.add(path)
            admitted += 1
            if (name := _name(path)) is not None:
                self._names.add(name)
                if name in others and others[name].st_mtime < now - _HOUR:
                    with suppress(OSError):
                        os.utime(self._pixels / name)
        self._make_room({name: status for name, status in others.items() if name not in self._names})
        return admitted

    def read(self, path: Path, max_megapixels: int = MAX_MEGAPIXELS) -> UInt8[np.ndarray, "H W 3"]:
        """Read an image as `read_image` does: from its file, or decoded and then kept.

        Returns:
            The pixels, which may be mapped from a file and not be written to.

        Raises:
            DataError: As `read_image` does.
        """
        name = _name(path)
        kept = None if name is None else self._mapped(name)
        if kept is not None and kept.shape[0] * kept.shape[1] <= max_megapixels * 1_000_000:
            return kept
        start = time.perf_counter()
        pixels = read_image(path, max_megapixels)
        self._decoding += time.perf_counter() - start
        # It may have changed while it was read.
        if name is not None and path in self._admitted and name == _name(path):
            start = time.perf_counter()
            self._keep(name, pixels)
            self._writing += time.perf_counter() - start
        return pixels

    def _entries(self) -> Iterator[tuple[str, os.stat_result]]:
        for entry in os.scandir(self._pixels):
            with suppress(FileNotFoundError):  # another process may be at work
                if _OWN.fullmatch(entry.name):
                    yield entry.name, entry.stat()

    def _make_room(self, others: dict[str, os.stat_result]) -> None:
        excess = self._planned + sum(status.st_size for status in others.values()) - self._limit
        for name, status in sorted(others.items(), key=lambda item: item[1].st_mtime):
            # A hidden one is being written; an old one was, when its process was killed.
            hidden, old = name.startswith("."), status.st_mtime < time.time() - _HOUR
            if old if hidden else excess > 0:
                with suppress(OSError):
                    (self._pixels / name).unlink()
                    excess -= status.st_size

    def _mapped(self, name: str) -> UInt8[np.ndarray, "H W 3"] | None:
        try:
            kept = np.asarray(np.lib.format.open_memmap(self._pixels / name, mode="r"))
        except Exception:  # missing, cut short, or damaged in whatever way: it is decoded again
            return None
        return kept if kept.dtype == np.uint8 and kept.ndim == 3 and kept.shape[2] == 3 else None

    def _keep(self, name: str, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        if not self._usable or self._writing > _SECONDS + _SHARE * self._decoding:
            return
        try:
            self._pixels.mkdir(parents=True, exist_ok=True)  # it may be cleared at any time
            disk = shutil.disk_usage(self._pixels)
            if disk.free - pixels.nbytes < _FREE * disk.total:
                return
            with whole_file(self._pixels / name, sync=False) as temporary, temporary.open("wb") as file:
                np.save(file, pixels)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if self._usable:
            self._usable = False
            logger.warning(
                "Decoded images should be kept in %s, but writing there gives: %s; the training goes on and decodes at "
                "each use, set data.cache_dir to another folder to mend it.",
                self._pixels,
                error.strerror or error,
            )


def _name(path: Path) -> str | None:
    mark = stamp(path)
    if mark is None:
        return None
    said = f"{real_path(path)}\0{mark}\0{DECODER}".encode(errors="surrogateescape")
    return f"{hashlib.blake2b(said, digest_size=16).hexdigest()}.npy"
