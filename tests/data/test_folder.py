from pathlib import Path

import pytest

from hpcm_spectral.data import image_extensions, list_images
from hpcm_spectral.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_finds_nested_images_of_any_case_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b/c/2.JPG", "a.webp", "b/1.TiFf", "notes.txt", "b/png", "film.mpg", "page.eps")
    assert list_images(tmp_path) == [tmp_path / "a.webp", tmp_path / "b/1.TiFf", tmp_path / "b/c/2.JPG"]


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "._a.png", ".thumbnails/a.png")
    assert list_images(tmp_path) == [tmp_path / "a.png"]


def test_a_hidden_root_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, ".cache/a.png")
    assert list_images(tmp_path / ".cache") == [tmp_path / ".cache/a.png"]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.png", "root/x/2.png")
    (tmp_path / "root/far").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/far2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/x/loop").symlink_to(tmp_path / "root")
    assert list_images(tmp_path / "root") == [tmp_path / "root/far/1.png", tmp_path / "root/x/2.png"]


def test_a_link_to_the_root_is_followed(tmp_path: Path) -> None:
    touch(tmp_path, "real/1.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert list_images(tmp_path / "link") == [tmp_path / "link/1.png"]


def test_empty_missing_and_file_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "empty/readme.md", "file.png")
    for name, reason in (("empty", "no file ending in"), ("gone", "must exist"), ("file.png", "is a file")):
        with pytest.raises(DataError, match=reason) as caught:
            list_images(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_extensions_are_those_pillow_decodes_by_itself() -> None:
    extensions = image_extensions()
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".bmp", ".ppm"} <= extensions
    assert extensions.isdisjoint({".pdf", ".eps", ".h5", ".mpg", ".txt"})
