"""What is drawn from image files: random crops for training, whole images for validation."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from hpcm_spectral.data.decode import MAX_MEGAPIXELS, Head, as_tensor, read_image
from hpcm_spectral.data.heads import read_heads
from hpcm_spectral.data.pixel_cache import PixelCache
from hpcm_spectral.data.profiles import profile_notes
from hpcm_spectral.errors import DataError
from hpcm_spectral.metrics import MS_SSIM_MIN_SIDE
from hpcm_spectral.names import printable

SmallImages = Literal["reflect", "skip"]
OnError = Literal["skip", "raise"]
Checked = TypeVar("Checked")

logger = logging.getLogger(__name__)

# Keeps the generator of a cycle's order apart from that of the sample with the same number.
_ORDER_STREAM = 1


def screen(paths: Iterable[Path], check: Callable[[Path], Checked], on_error: OnError) -> list[tuple[Path, Checked]]:
    """Run a check on every file and keep the files that pass, each with what its check returned.

    Args:
        paths: Files, in the order to keep.
        check: Raises a DataError that names the file if it cannot be used.
        on_error: ``skip`` leaves a failing file out and names it in a logged warning; ``raise`` stops.

    Raises:
        DataError: A check failed and ``on_error`` is ``raise``.
    """
    passed = []
    for path in paths:
        try:
            passed.append((path, check(path)))
        except DataError as error:
            if on_error == "raise":
                raise
            logger.warning("Skipped an image: %s", error)
    return passed


def _heads(
    paths: Sequence[Path], max_megapixels: int, cache: PixelCache | None
) -> tuple[Callable[[Path], Head], dict[Path, Head]]:
    """A check that gives the head of each file or says why there is none, and all heads."""
    found = dict(zip(paths, read_heads(paths, max_megapixels, cache.folder if cache else None), strict=True))

    def check(path: Path) -> Head:
        head = found[path]
        if isinstance(head, DataError):
            raise head
        return head

    return check, {path: head for path, head in found.items() if isinstance(head, Head)}


class TrainingCrops(Dataset[Tensor]):
    """Random square crops, numbered without end, each a function of the seed and its number alone.

    Samples are drawn in cycles. Each cycle takes every file once, in an order of its own, for ``crops_per_image``
    samples in a row. Position and flips (left-right and up-down, each in half of the samples) come from a generator
    seeded with the sample's number. The stream is hence the same for any number of workers, and continues where it
    stopped.

    Args:
        paths: Image files; the head of each is read at construction, and the number of images is logged.
        crop_size: Side of the crops in pixels, at least 1.
        seed: Not negative.
        small_images: Images with a side below ``crop_size`` are continued by reflection at their right and
            bottom border (``reflect``), or left out (``skip``).
        on_error: ``skip`` leaves out unreadable files and names each in a logged warning. If a file turns out
            to be damaged later, when it is decoded, the next one of the cycle takes its place; the warning
            then comes once per process. ``raise`` stops at the first unreadable file.
        max_megapixels: Larger images, in millions of pixels, are unreadable.
        cache: Keeps decoded images and heads of files; None decodes at each use.
        crops_per_image: Samples in a row that are of one image, decoded once for those of one batch, at least 1.

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
        max_megapixels: int = MAX_MEGAPIXELS,
        cache: PixelCache | None = None,
        crops_per_image: int = 1,
    ) -> None:
        self.crop_size = crop_size
        self.seed = seed
        self.on_error = on_error
        self.max_megapixels = max_megapixels
        self.cache = cache
        self.crops_per_image = crops_per_image
        check, _ = _heads(paths, max_megapixels, cache)
        readable = screen(paths, check, on_error)
        large = [(path, head) for path, head in readable if min(head.width, head.height) >= crop_size]
        kept = large if small_images == "skip" else readable
        self.paths = [path for path, _ in kept]
        self._last: tuple[int, UInt8[np.ndarray, "H W 3"]] | None = None
        self._damaged: set[int] = set()
        notes = profile_notes(head.profile for _, head in kept)
        if len(large) < len(readable):
            done = "skipped" if small_images == "skip" else "reflected"
            notes.append(f"{len(readable) - len(large)} smaller than {crop_size} {done}")
        if len(readable) < len(paths):
            notes.append(f"{len(paths) - len(readable)} unreadable skipped")
        if not self.paths:
            reasons = ", ".join(notes) or "no files were given"
            raise DataError(
                f"Training needs at least one usable image, but none is left ({reasons}); "
                "add images, or set small_images to reflect if they are too small."
            )
        logger.info("train: %s", "; ".join([f"{len(self.paths)} images", *notes]))
        if cache is not None:
            admitted = cache.admit((path, head.width * head.height) for path, head in kept)
            logger.info("train: %d of %d images kept decoded in %s", admitted, len(self.paths), cache.folder)

    def __len__(self) -> int:
        """Count the samples of one cycle; sample numbers may go beyond."""
        return len(self.paths) * self.crops_per_image

    def __getitem__(self, n: int) -> Float[Tensor, "3 crop crop"]:
        """Draw sample number ``n``, any from 0 up: a float32 crop, 0 to 1.

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
        cycle, position = divmod(n // self.crops_per_image, len(self.paths))
        order = _order(self.seed, cycle, len(self.paths))
        for step in range(len(order)):
            index = int(order[(position + step) % len(order)])
            if (pixels := self._decode(index)) is not None:
                return pixels
        raise DataError(
            f"Training needs at least one image that can be decoded, but all {len(order)} are damaged; replace them."
        )

    def _decode(self, index: int) -> UInt8[np.ndarray, "H W 3"] | None:
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        if index in self._damaged:
            return None
        try:
            read = self.cache.read if self.cache else read_image
            pixels = read(self.paths[index], self.max_megapixels)
            if self.crops_per_image > 1:
                self._last = index, pixels
            return pixels
        except DataError as error:
            if self.on_error == "raise":
                raise
            self._damaged.add(index)
            logger.warning("Skipped an image, another takes its place: %s", error)
            return None


@lru_cache(maxsize=2)
def _order(seed: int, cycle: int, files: int) -> Int[np.ndarray, " files"]:
    return np.random.default_rng((seed, cycle, _ORDER_STREAM)).permutation(files)


def _continued(pixels: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "H2 W2 3"]:
    down, right = (max(0, side - length) for length in pixels.shape[:2])
    if not down and not right:
        return pixels
    # "symmetric" repeats the border pixel, and so works for an image of one pixel too.
    return np.pad(pixels, ((0, down), (0, right), (0, 0)), mode="symmetric")


class ValidationImages(Dataset[Tensor]):
    """Uncropped images in the order of their paths; item k is a float32 tensor [3, H, W], 0 to 1.

    Every image is decoded once at construction, as a file that fails in the middle of a validation would
    change what its mean is taken over.

    Args:
        paths: Image files.
        on_error: ``skip`` leaves out undecodable files and names them in logged warnings; ``raise`` stops.
        max_megapixels: Larger images, in millions of pixels, are undecodable.
        cache: Keeps decoded images and heads of files; None decodes at each use.

    Attributes:
        paths: The decodable files.
        names: One name per item: the file name, with as much of its folders as tells all items apart.
        have_ms_ssim: Whether all are large enough for it; a mean over some would stand beside a rate of all.

    Raises:
        DataError: A file cannot be decoded and ``on_error`` is ``raise``, or none is left. Items raise it if
            their file has vanished since.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        on_error: OnError = "skip",
        max_megapixels: int = MAX_MEGAPIXELS,
        cache: PixelCache | None = None,
    ) -> None:
        self.max_megapixels = max_megapixels
        self._read = cache.read if cache else read_image
        check_head, heads = _heads(paths, max_megapixels, cache)
        if cache is not None:
            cache.admit((path, head.width * head.height) for path, head in heads.items())

        def check(path: Path) -> Head:
            profile = check_head(path).profile
            height, width, _ = self._read(path, max_megapixels).shape
            return Head(width, height, profile)

        readable = screen(paths, check, on_error)
        self.paths = [path for path, _ in readable]
        dropped = len(paths) - len(self.paths)
        if not self.paths:
            raise DataError(
                f"Validation needs at least one image, but all {dropped} files were unreadable; "
                "add images that Pillow can decode."
            )
        self.names = _names(self.paths)
        notes = profile_notes(head.profile for _, head in readable)
        if dropped:
            notes.append(f"{dropped} unreadable skipped")
        small = sum(min(head.width, head.height) < MS_SSIM_MIN_SIDE for _, head in readable)
        self.have_ms_ssim = not small
        if small:
            notes.append(f"{small} with a side under {MS_SSIM_MIN_SIDE} pixels, so no MS-SSIM")
        logger.info("val: %s", "; ".join([f"{len(self.paths)} images", *notes]))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Float[Tensor, "3 H W"]:
        return as_tensor(self._read(self.paths[index], self.max_megapixels))


def _names(paths: Sequence[Path]) -> list[str]:
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        common = os.path.commonpath([path.absolute().parent for path in paths])
        names = [path.absolute().relative_to(common).as_posix() for path in paths]
    return [printable(name) for name in names]
