"""Where the images come from: the built-in photographs, or folders of your own."""

from pathlib import Path

from hpcm_spectral.data.dataset import SmallImages
from hpcm_spectral.data.folder import list_images
from hpcm_spectral.data.module import ImageDataModule
from hpcm_spectral.data.photos import training_photos, validation_photos
from hpcm_spectral.data.screening import OnError


class PhotoDataModule(ImageDataModule):
    """The built-in photographs: 48 for training, 5 for validation, without any download.

    Decoded they take some 150 MiB, so that the default cache holds them all.

    Args:
        batch_size: See `ImageDataModule`, as for all arguments.
        crop_size: Side of the crops.
        samples_per_epoch: Crops per epoch.
        num_workers: Loading processes.
        seed: Decides the crops.
        small_images: What to do with images smaller than a crop.
        on_error: What to do with unreadable images.
        cache_mb: Memory for decoded training images.
        pin_memory: Whether to load into page-locked memory.
    """

    def __init__(
        self,
        *,
        batch_size: int = 8,
        crop_size: int = 256,
        samples_per_epoch: int | None = 256,
        num_workers: int = 1,
        seed: int = 0,
        small_images: SmallImages = "reflect",
        on_error: OnError = "skip",
        cache_mb: int = 512,
        pin_memory: bool = True,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            crop_size=crop_size,
            samples_per_epoch=samples_per_epoch,
            num_workers=num_workers,
            seed=seed,
            small_images=small_images,
            on_error=on_error,
            cache_mb=cache_mb,
            pin_memory=pin_memory,
        )

    def train_files(self) -> list[Path]:
        """List the photographs of the package mvtb-data."""
        return training_photos()

    def val_files(self) -> list[Path]:
        """List the photographs of the package scikit-image."""
        return validation_photos()


class FolderDataModule(ImageDataModule):
    """Your own images: all below one folder for training, all below another for validation.

    Args:
        train_dir: Folder of training images.
        val_dir: Folder of validation images.
        batch_size: See `ImageDataModule`, as for all arguments that follow.
        crop_size: Side of the crops.
        samples_per_epoch: Crops per epoch.
        num_workers: Loading processes.
        seed: Decides the crops.
        small_images: What to do with images smaller than a crop.
        on_error: What to do with unreadable images.
        cache_mb: Memory for decoded training images.
        pin_memory: Whether to load into page-locked memory.
    """

    def __init__(
        self,
        train_dir: str,
        val_dir: str,
        *,
        batch_size: int = 8,
        crop_size: int = 256,
        samples_per_epoch: int | None = None,
        num_workers: int = 1,
        seed: int = 0,
        small_images: SmallImages = "reflect",
        on_error: OnError = "skip",
        cache_mb: int = 0,
        pin_memory: bool = True,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            crop_size=crop_size,
            samples_per_epoch=samples_per_epoch,
            num_workers=num_workers,
            seed=seed,
            small_images=small_images,
            on_error=on_error,
            cache_mb=cache_mb,
            pin_memory=pin_memory,
        )
        self.train_dir = Path(train_dir).expanduser()
        self.val_dir = Path(val_dir).expanduser()

    def train_files(self) -> list[Path]:
        """List the images below ``train_dir``."""
        return list_images(self.train_dir)

    def val_files(self) -> list[Path]:
        """List the images below ``val_dir``."""
        return list_images(self.val_dir)
