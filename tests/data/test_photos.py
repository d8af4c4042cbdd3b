import subprocess
import sys

import pytest

from hpcm_spectral.data import read_size, training_photos, validation_photos
from hpcm_spectral.errors import DataError


def test_48_training_and_5_validation_photos_without_overlap() -> None:
    train, val = training_photos(), validation_photos()
    assert len(train) == len(set(train)) == 48
    assert [path.name for path in val] == [
        "astronaut.png",
        "chelsea.png",
        "coffee.png",
        "rocket.jpg",
        "motorcycle_left.png",
    ]
    assert not {path.read_bytes() for path in train} & {path.read_bytes() for path in val}


def test_all_photos_hold_a_crop_of_256() -> None:
    assert all(min(read_size(path)) >= 256 for path in [*training_photos(), *validation_photos()])


def test_unwanted_pictures_are_left_out() -> None:
    stems = {path.stem for path in training_photos()}
    assert stems.isdisjoint(
        {"lena", "monalisa", "58060", "image3", "butterfly", "greenscreen", "rocks2-l", "rocks2-r", "adelson"}
    )
    assert {"P1070491", "P1070492", "flowers9", "aerialphoto", "eiffel-2"} <= stems


def test_listing_imports_neither_package() -> None:
    code = (
        "import sys; from hpcm_spectral.data import *; training_photos(); validation_photos();"
        "assert not {'mvtbdata', 'skimage'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    for name in ("mvtbdata", "skimage"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for list_photos, package in ((training_photos, "mvtb-data"), (validation_photos, "scikit-image")):
        with pytest.raises(DataError, match=rf"{package}.*pip install 'hpcm-spectral\[photos\]'"):
            list_photos()


def test_a_missing_file_is_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "skimage").mkdir()
    (tmp_path / "skimage/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "skimage", raising=False)
    with pytest.raises(DataError, match=r"astronaut\.png .*scikit-image"):
        validation_photos()
