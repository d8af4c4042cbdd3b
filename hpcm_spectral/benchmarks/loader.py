"""What loading costs: training crops of a folder of 2K photographs, with decoded images kept and without."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

from hpcm_spectral.data import FolderDataModule, training_photos
from hpcm_spectral.tables import text_table

FileKind = Literal["png", "jpeg"]
SIZE = (2048, 1080)


@dataclass(frozen=True)
class LoaderBenchmark:
    """Crops per second of one loader, medians over rounds.

    Args:
        file_kind: Of the images.
        images: How many there are; an epoch has one crop of each.
        crop_size: Side of the crops in pixels.
        batch_size: Crops of a batch.
        workers: Processes that load, 0 for none.
        first_kept: In an epoch that decodes the images and keeps them.
        later_kept: In epochs after it.
        first: In the first epoch of a loader that keeps nothing.
        later: In epochs after it.
    """

    file_kind: FileKind
    images: int
    crop_size: int
    batch_size: int
    workers: int
    first_kept: float
    later_kept: float
    first: float
    later: float

    @property
    def gain(self) -> float:
        """Crops per second with images kept over those without, from the second epoch on."""
        return self.later_kept / self.later

    def table(self) -> str:
        """The figures as text."""
        title = (
            f"Crops per second of {self.images} {self.file_kind.upper()} of {SIZE[0]}x{SIZE[1]}, "
            f"side {self.crop_size}, batches of {self.batch_size}, {self.workers} workers"
        )
        ratios = (self.first_kept / self.first, self.gain)
        rows = [
            (name, *(f"{value:.1f}" for value in values), f"{ratio:.2f}")
            for name, values, ratio in (
                ("first epoch", (self.first_kept, self.first), ratios[0]),
                ("later epochs", (self.later_kept, self.later), ratios[1]),
            )
        ]
        return f"{title}\n{text_table(('', 'kept', 'decoded', 'ratio'), rows)}"


def loader_cost(
    file_kind: FileKind = "png",
    images: int = 16,
    crop_size: int = 256,
    batch_size: int = 8,
    workers: int = 1,
    epochs: int = 3,
    rounds: int = 3,
) -> LoaderBenchmark:
    """Time the training loader of `FolderDataModule` on photographs of 2048x1080 pixels, made from the built-in ones.

    Each round makes two loaders, one that keeps decoded images, in a new folder, and one that does not; their first
    epochs include the start of the workers. The first round is not counted. Files lie in a temporary folder and are in
    the system's memory when they are read.

    Args:
        file_kind: ``png``, or ``jpeg`` of quality 90.
        images: How many, at least ``batch_size``.
        crop_size: Side of the crops in pixels.
        batch_size: Crops of a batch.
        workers: Processes that load, 0 for none.
        epochs: Of each loader, at least 2.
        rounds: At least 1.

    Raises:
        DataError: The package of the photographs is missing.
        ValueError: A number is out of its range.
    """
    for name, value, least in (("images", images, batch_size), ("epochs", epochs, 2), ("rounds", rounds, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
    speeds: dict[float, list[tuple[float, float]]] = {1: [], 0: []}
    with tempfile.TemporaryDirectory() as folder:
        train, val = Path(folder, "train"), Path(folder, "val")
        _make_folder(train, file_kind, images)
        val.mkdir()
        Image.new("RGB", (8, 8)).save(val / "0.png")
        for number in range(rounds + 1):
            for share, found in speeds.items():
                data = FolderDataModule(
                    str(train),
                    str(val),
                    batch_size=batch_size,
                    crop_size=crop_size,
                    num_workers=workers,
                    cache_gib=share * 3 * SIZE[0] * SIZE[1] * 2 * images / 2**30,
                    cache_dir=str(Path(folder, f"cache{number}")),
                )
                found.append(_speeds(data, epochs))
    kept, decoded = (
        [statistics.median(values) for values in zip(*found[1:], strict=True)] for found in speeds.values()
    )
    return LoaderBenchmark(file_kind, images, crop_size, batch_size, workers, kept[0], kept[1], decoded[0], decoded[1])


def _speeds(data: FolderDataModule, epochs: int) -> tuple[float, float]:
    """Crops per second of the first epoch, and of those after it."""
    loader = data.train_dataloader()
    times, crops = [time.perf_counter()], 0
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        crops = sum(len(batch) for batch in loader)
        times.append(time.perf_counter())
    return crops / (times[1] - times[0]), crops * (epochs - 1) / (times[-1] - times[1])


def _make_folder(folder: Path, file_kind: FileKind, images: int) -> None:
    folder.mkdir()
    photos = training_photos()
    for number in range(images):
        with Image.open(photos[number % len(photos)]) as photo:
            fitted = ImageOps.fit(photo.convert("RGB"), SIZE)
        fitted.save(folder / f"{number:04d}.{file_kind}", quality=90)
