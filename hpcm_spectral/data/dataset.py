"""Random crops for training."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from hpcm_spectral.data.decode import as_tensor, read_image, read_size
from hpcm_spectral.data.screening import OnError, screen
from hpcm_spectral.errors import DataError

SmallImages = Literal["reflect", "skip"]

logger = logging.getLogger(__name__)

# Keeps the generator of a cycle's order apart from that of the sample with the same number.
_ORDER_STREAM = 1


class TrainingCrops(Dataset[Tensor]):
    """Random square crops, numbered without end, each a function of the seed and its number alone.

    Samples are drawn in cycles of as many samples as there are files. Each cycle takes every file once, in an
    order of its own. Position and flips (left-right and up-down, each in half of the samples) come from a
    generator seeded with the sample's number. The stream is hence the same for any number of workers, and
    continues where it stopped.

    Args:
        paths: Image files; the head of each is read at construction, and the number of images is logged.
        crop_size: Side of the crops in pixels, at least 1.
        seed: Not negative.
        small_images: Images with a side below ``crop_size`` are continued by reflection at their right and
            bottom border (``reflect``), or left out (``skip``).
        on_error: ``skip`` leaves out unreadable files and names each in a logged warning. If a file turns out
            to be damaged later, when it is decoded, the next one of the cycle takes its place; the warning
            then comes once per process. ``raise`` stops at the first unreadable file.
        cache_mb: MiB of decoded images that `preload` may keep in memory.

    Attributes:
        paths: The files in use.

    Raises:
        DataError: A file is unreadable and ``on_error`` is ``raise``, or no file is left.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        crop_size: int,
        seed: int,
        small_images: SmallImages = "reflect",
        on_error: OnError = "skip",
        cache_mb: int = 0,
    ) -> None:
        self.crop_size = crop_size
        self.seed = seed
        self.on_error = on_error
        self.cache_mb = cache_mb
        readable = screen(paths, read_size, on_error)
        large = [(path, size) for path, size in readable if min(size) >= crop_size]
        kept = large if small_images == "skip" else readable
        self.paths = [path for path, _ in kept]
        self._sizes = [size for _, size in kept]
        self._cache: dict[int, UInt8[np.ndarray, "H W 3"]] = {}
        self._damaged: set[int] = set()
        self._last_order: tuple[int, Int[np.ndarray, " files"]] | None = None
        self._report(len(paths) - len(readable), len(readable) - len(large), small_images)

    def _report(self, unreadable: int, small: int, small_images: SmallImages) -> None:
        notes = []
        if small:
            done = "skipped" if small_images == "skip" else "reflected"
            notes.append(f"{small} smaller than {self.crop_size} {done}")
        if unreadable:
            notes.append(f"{unreadable} unreadable skipped")
        if not self.paths:
            reasons = ", ".join(notes) or "no files were given"
            raise DataError(
                f"Training needs at least one usable image, but none is left ({reasons}); "
                "add images, or set small_images to reflect if they are too small."
            )
        logger.info("train: %s", "; ".join([f"{len(self.paths)} images", *notes]))

    def preload(self) -> None:
        """Decode images into memory, as many as fit into ``cache_mb``.

        Worker processes that are forked afterwards share this memory. The others decode at each use.

        Raises:
            DataError: A file is damaged and ``on_error`` is ``raise``.
        """
        used = sum(pixels.nbytes for pixels in self._cache.values())
        for index, (width, height) in enumerate(self._sizes):
            fits = used + 3 * width * height <= self.cache_mb * 2**20
            if fits and index not in self._cache and (pixels := self._decode(index)) is not None:
                self._cache[index] = pixels
                used += pixels.nbytes
        cached, total = len(self._cache), len(self.paths)
        logger.info("train: %d of %d images kept in memory (%.0f MiB)", cached, total, used / 2**20)

    def __len__(self) -> int:
        """Count the files, that is the samples of one cycle; sample numbers may go beyond."""
        return len(self.paths)

    def __getitem__(self, n: int) -> Float[Tensor, "3 crop crop"]:
        """Draw sample number ``n``.

        Args:
            n: Any number from 0 up.

        Returns:
            A float32 crop, 0 to 1.

        Raises:
            IndexError: ``n`` is negative.
            DataError: A file is damaged and ``on_error`` is ``raise``, or all files are damaged.
        """
        if n < 0:
            raise IndexError(f"Sample numbers must not be negative, got {n}.")
        rng = np.random.default_rng((self.seed, n))
        pixels = _continued(self._pixels(n), self.crop_size)
        top = int(rng.integers(pixels.shape[0] - self.crop_size + 1))
        left = int(rng.integers(pixels.shape[1] - self.crop_size + 1))
        crop = pixels[top : top + self.crop_size, left : left + self.crop_size]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        if rng.random() < 0.5:
            crop = crop[::-1]
        return as_tensor(crop)

    def _pixels(self, n: int) -> UInt8[np.ndarray, "H W 3"]:
        cycle, position = divmod(n, len(self.paths))
        order = self._order(cycle)
        for step in range(len(order)):
            index = int(order[(position + step) % len(order)])
            if (pixels := self._decode(index)) is not None:
                return pixels
        raise DataError(
            f"Training needs at least one image that can be decoded, but all {len(order)} are damaged; replace them."
        )

    def _order(self, cycle: int) -> Int[np.ndarray, " files"]:
        if self._last_order is None or self._last_order[0] != cycle:
            rng = np.random.default_rng((self.seed, cycle, _ORDER_STREAM))
            self._last_order = (cycle, rng.permutation(len(self.paths)))
        return self._last_order[1]

    def _decode(self, index: int) -> UInt8[np.ndarray, "H W 3"] | None:
        if index in self._cache:
            return self._cache[index]
        if index in self._damaged:
            return None
        try:
            return read_image(self.paths[index])
        except DataError as error:
            if self.on_error == "raise":
                raise
            self._damaged.add(index)
            logger.warning("Skipped an image, another takes its place: %s", error)
            return None


def _continued(pixels: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "H2 W2 3"]:
    down, right = (max(0, side - length) for length in pixels.shape[:2])
    if not down and not right:
        return pixels
    # "symmetric" repeats the border pixel, and so works for an image of one pixel too.
    return np.pad(pixels, ((0, down), (0, right), (0, 0)), mode="symmetric")
