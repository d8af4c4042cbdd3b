import os
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


def test_what_is_left_out_is_said_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.png", "b.mpo", "c.HEIC", "noext", "in/two\nlines.txt", ".hidden", "page.pdf")
    os.mkfifo(tmp_path / "pipe.png")
    with caplog.at_level("INFO", "hpcm_spectral"):
        assert list_images(tmp_path) == [tmp_path / "a.png", tmp_path / "b.mpo"]
    (message,) = caplog.messages
    assert message.startswith("5 files ignored")
    assert "c.HEIC, in/two\\nlines.txt, noext, ..." in message
    assert "pillow-heif" in message


def test_results_of_these_programs_are_no_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = ("config.yaml", "provenance.json", "curves.png", "samples/0_a_decoded.png")
    touch(tmp_path, "a.png", "config.yaml", *(f"runs/x/{name}" for name in run), "samples/mine.png")
    touch(tmp_path, "e/per_image.csv", "e/provenance.json", "e/rate_distortion.png")
    touch(tmp_path, "r/report.html", "r/runs.csv", "r/loss.png")
    with caplog.at_level("INFO", "hpcm_spectral"):
        assert list_images(tmp_path) == [tmp_path / "a.png", tmp_path / "samples/mine.png"]
    assert "e, r, runs/x" in caplog.text
    # Written among the user's own images.
    touch(tmp_path / "runs" / "x", "b.png")
    assert list_images(tmp_path / "runs/x") == [tmp_path / "runs/x/b.png"]
    assert list_images(tmp_path / "runs/x/samples") == [tmp_path / "runs/x/samples/0_a_decoded.png"]
