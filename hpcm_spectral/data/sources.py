"""Where the images come from: the built-in photographs, or folders of your own."""

from pathlib import Path
from typing import Any

from hpcm_spectral.data.folder import list_images
from hpcm_spectral.data.module import ImageDataModule
from hpcm_spectral.data.photos import training_photos, validation_photos
from hpcm_spectral.errors import SettingError


class PhotoDataModule(ImageDataModule):
    """The built-in photographs: 48 for training, 5 for validation, without any download.

    Decoded they take some 150 MiB, so that the default cache holds them all.

    Args:
        samples_per_epoch: Crops per epoch.
        cache_mb: MiB of decoded training images to keep in memory.
        common: See `ImageDataModule`.
    """

    def __init__(self, *, samples_per_epoch: int | None = 256, cache_mb: int = 512, **common: Any) -> None:
        super().__init__(samples_per_epoch=samples_per_epoch, cache_mb=cache_mb, **common)

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
        common: See `ImageDataModule`.
    """

    def __init__(self, train_dir: str, val_dir: str, **common: Any) -> None:
        super().__init__(**common)
        for name, folder in (("train_dir", train_dir), ("val_dir", val_dir)):
            if not folder.strip():
                raise SettingError(name, "must name a folder, got nothing; . is the current one.")
        self.train_dir = Path(train_dir).expanduser()
        self.val_dir = Path(val_dir).expanduser()

    def train_files(self) -> list[Path]:
        """List the images below ``train_dir``."""
        return list_images(self.train_dir)

    def val_files(self) -> list[Path]:
        """List the images below ``val_dir``."""
        return list_images(self.val_dir)
