"""What is common to all image sources: loaders of training crops and of full validation images."""

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from hpcm_spectral.data.dataset import OnError, SmallImages, TrainingCrops, ValidationImages
from hpcm_spectral.data.decode import MAX_MEGAPIXELS
from hpcm_spectral.data.loader import EpochSampler, ImageLoader, TrainingLoader, begin_worker
from hpcm_spectral.data.pixel_cache import PixelCache
from hpcm_spectral.errors import DataError, SettingError

logger = logging.getLogger(__name__)


class ImageDataModule(LightningDataModule):
    """Random crops for training and full images for validation; subclasses say which files.

    Training batches are float32 tensors [batch_size, 3, crop_size, crop_size], 0 to 1, always full.
    Validation batches are [1, 3, H, W], in the order of ``val_names``.

    Args:
        batch_size: Crops per batch and process, at least 1.
        crop_size: Side of the crops in pixels, a multiple of what the codec pads to.
        samples_per_epoch: Crops per epoch over all processes, at least ``batch_size``; None means ``crops_per_image``
            of each training image.
        num_workers: Processes that decode training images, 0 for none; validation uses at most one. The
            default of 1 leaves the other core of a two-core laptop to the training. If a GPU waits for data,
            raise it towards the number of cores per GPU; the samples stay the same.
        seed: Decides order, position and flips of the crops; not negative.
        small_images: ``reflect`` continues training images smaller than a crop by reflection, ``skip`` leaves them out.
        on_error: ``skip`` leaves out unreadable images with a logged warning, ``raise`` stops.
        cache_gib: GiB on disk that decoded images may take, for this and later runs; 0 decodes at each use.
        cache_dir: Where they are kept, a folder of its own; None: see `PixelCache`.
        crops_per_image: Samples in a row that are of one image. More than 1 spares decodings where images cannot be
            kept, and makes the crops of a batch less different.
        max_megapixels: Images of more millions of pixels are unreadable, as a small file may claim any size.
        pin_memory: Whether to load into page-locked memory, which speeds up copies to a GPU; without CUDA it
            has no effect.

    Attributes:
        places: Names of arguments that say where images lie, not which; a run goes on with others if these hold the
            same images.
        val_names: One name per validation image, empty before `setup`.
        have_ms_ssim: Whether all validation images are large enough for MS-SSIM; true before `setup`.

    Raises:
        ValueError: An argument is out of its range; the message starts with its name.
    """

    places: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        batch_size: int = 8,
        crop_size: int = 256,
        samples_per_epoch: int | None = None,
        num_workers: int = 1,
        seed: int = 0,
        small_images: SmallImages = "reflect",
        on_error: OnError = "skip",
        cache_gib: float = 20,
        cache_dir: str | None = None,
        crops_per_image: int = 1,
        max_megapixels: int = MAX_MEGAPIXELS,
        pin_memory: bool = True,
    ) -> None:
        super().__init__()
        positive = {
            "batch_size": batch_size,
            "crop_size": crop_size,
            "max_megapixels": max_megapixels,
            "crops_per_image": crops_per_image,
        }
        from_zero = {"num_workers": num_workers, "seed": seed, "cache_gib": cache_gib}
        for least, given in ((1, positive), (0, from_zero)):
            for name, value in given.items():
                if value < least:
                    raise SettingError(name, f"must be at least {least}, got {value}; raise it.")
        most = max(16, 4 * (os.cpu_count() or 1))
        if num_workers > most:
            raise SettingError("num_workers", f"must be at most {most} on this machine, got {num_workers}; lower it.")
        if samples_per_epoch is not None and samples_per_epoch < batch_size:
            raise SettingError(
                "samples_per_epoch",
                f"must be at least batch_size ({batch_size}), got {samples_per_epoch}, "
                "which leaves an epoch without a full batch; raise it or lower batch_size.",
            )
        self.batch_size = batch_size
        self.crop_size = crop_size
        self.samples_per_epoch = samples_per_epoch
        self.num_workers = num_workers
        self.seed = seed
        self.small_images: SmallImages = small_images
        self.on_error: OnError = on_error
        self.cache = PixelCache(cache_dir, cache_gib) if cache_gib else None
        self.crops_per_image = crops_per_image
        self.max_megapixels = max_megapixels
        self.pin_memory = pin_memory
        self.val_names: list[str] = []
        self.have_ms_ssim = True
        self._train: TrainingCrops | None = None
        self._val: ValidationImages | None = None

    def train_files(self) -> list[Path]:
        """List the training images."""
        raise NotImplementedError

    def val_files(self) -> list[Path]:
        """List the validation images."""
        raise NotImplementedError

    def contents(self) -> dict[str, dict[str, Any]]:
        """What the images are, wherever they lie: for ``train`` and ``val`` their number, and a digest.

        The digest is of names, folders below the common one included, and sizes in bytes, in the order of the files.
        """
        return {name: _contents(files) for name, files in (("train", self.train_files()), ("val", self.val_files()))}

    def setup(self, stage: str | None = None) -> None:
        """Find and check the images; what a former call has set up is kept.

        Args:
            stage: Lightning's stage; training images are set up for ``fit`` and None only.

        Raises:
            DataError: Images are missing, or unreadable with ``on_error=raise``.
        """
        if self._val is None:
            self._val = ValidationImages(self.val_files(), self.on_error, self.max_megapixels, self.cache)
            self.val_names = self._val.names
            self.have_ms_ssim = self._val.have_ms_ssim
        if self._train is None and stage in (None, "fit"):
            files = self.train_files()
            self._train = TrainingCrops(
                files,
                self.crop_size,
                self.seed,
                self.small_images,
                self.on_error,
                self.max_megapixels,
                self.cache,
                self.crops_per_image,
            )
            _warn_of_shared(self._train.paths, self._val.paths)

    def train_dataloader(self) -> TrainingLoader:
        """Make the loader of training batches.

        Raises:
            DataError: Fewer samples than a batch come to each process, or `setup` fails.
        """
        self.setup("fit")
        assert self._train is not None
        samples = self.samples_per_epoch or len(self._train)
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = EpochSampler(samples, rank, world_size)
        if len(sampler) < self.batch_size:
            raise DataError(
                f"An epoch must hold at least batch_size ({self.batch_size}) samples for each of the "
                f"{world_size} training processes, got {samples} in all; raise samples_per_epoch or lower "
                "batch_size."
            )
        return TrainingLoader(
            self._train, batch_size=self.batch_size, sampler=sampler, drop_last=True, **self._loading(self.num_workers)
        )

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Make the loader of single validation images.

        Raises:
            DataError: `setup` fails.
        """
        self.setup("validate")
        assert self._val is not None
        return ImageLoader(self._val, batch_size=1, **self._loading(min(1, self.num_workers)))

    def _loading(self, workers: int) -> dict[str, Any]:
        return {
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "pin_memory": self.pin_memory and torch.cuda.is_available(),
            "worker_init_fn": begin_worker,
            # A loader seeds its workers from PyTorch's global generator otherwise, at each epoch: the model's
            # random numbers would depend on how often data was loaded.
            "generator": torch.Generator().manual_seed(self.seed),
        }


def _contents(files: Sequence[Path]) -> dict[str, Any]:
    # Strings, as Path takes five times as long.
    here = os.getcwd()  # noqa: PTH109
    absolute = [os.path.join(here, path) for path in files]  # noqa: PTH118
    common = os.path.commonpath({name.rpartition(os.sep)[0] or os.sep for name in absolute}).rstrip(os.sep)
    digest = hashlib.sha256()
    for name in absolute:
        try:
            size = os.stat(name).st_size  # noqa: PTH116
        except OSError:
            size = -1
        digest.update(b"%s\0%d\0" % (os.fsencode(name[len(common) + 1 :]), size))
    return {"images": len(files), "digest": digest.hexdigest()}


def _warn_of_shared(train: Iterable[Path], val: Iterable[Path]) -> None:
    # Device and inode tell that two paths are one file, through any kind of link.
    validated = {(status.st_dev, status.st_ino) for status in map(os.stat, val)}
    found = ((path, os.stat(path)) for path in train)  # noqa: PTH116
    shared = [path for path, status in found if (status.st_dev, status.st_ino) in validated]
    if shared:
        logger.warning(
            "Training and validation share %d files, such as %s: the validation results are too good.",
            len(shared),
            shared[0],
        )
