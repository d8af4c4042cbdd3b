"""Which images count as a set that published curves exist for."""

import logging
from pathlib import Path

import pytest
from PIL import Image

from hpcm_spectral.errors import DataError
from hpcm_spectral.evaluation.datasets import CLIC_PRO_VALID, KODAK, NAMED_SETS, TECNICK, find_images
from hpcm_spectral.reports.rate_distortion import reference_names

KODAK_SIZES = [(512, 768)] * 18 + [(768, 512)] * 6


def kodak_paths() -> list[Path]:
    return [Path(f"photos/kodim{number:02d}.png") for number in range(1, 25)]


@pytest.fixture(scope="module")
def kodak_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``kodak`` whose files have Kodak's names and sizes."""
    folder = tmp_path_factory.mktemp("datasets") / "kodak"
    folder.mkdir()
    for path, (height, width) in zip(kodak_paths(), KODAK_SIZES, strict=True):
        Image.new("RGB", (width, height), (height // 4, 90, 20)).save(folder / path.name)
    return folder


def test_there_are_curves_for_every_named_set() -> None:
    assert sorted(NAMED_SETS) == reference_names()


def test_kodak_is_found_by_name_and_recognised_by_content(kodak_like: Path) -> None:
    by_name = find_images("kodak", kodak_like.parent)
    assert (by_name.named, len(by_name.paths), by_name.title) == (KODAK, 24, "Kodak")
    assert by_name.names[0] == "kodim01.png"
    assert find_images(str(kodak_like), Path("nowhere")).named is KODAK


def test_a_missing_set_says_where_to_get_it(tmp_path: Path) -> None:
    for named in NAMED_SETS.values():
        with pytest.raises(DataError) as error:
            find_images(named.name, tmp_path)
        assert named.source in str(error.value)
        assert str(tmp_path / named.name) in str(error.value)
        assert "\n" not in str(error.value)


def test_a_part_of_kodak_is_not_kodak(tmp_path: Path) -> None:
    folder = tmp_path / "kodak"
    folder.mkdir()
    for name in ("kodim01.png", "kodim02.png"):
        Image.new("RGB", (768, 512)).save(folder / name)
    with pytest.raises(DataError, match=r"must hold kodim01.png to kodim24.png.*but has 2 readable images.*r0k.us"):
        find_images("kodak", tmp_path)
    assert find_images(str(folder), tmp_path).named is None


def test_recognition_asks_for_names_number_and_sizes() -> None:
    paths = kodak_paths()
    assert KODAK.recognises(paths, KODAK_SIZES)
    assert not KODAK.recognises(paths, [(512, 768)] * 23 + [(512, 767)])
    assert not KODAK.recognises([*paths[:-1], paths[0]], KODAK_SIZES)
    assert not KODAK.recognises([*paths[:-1], Path("photos/kodim25.png")], KODAK_SIZES)
    assert not KODAK.recognises(paths[:-1], KODAK_SIZES[:-1])
    tecnick = [Path(f"RGB_OR_1200x1200_{number:03d}.png") for number in range(1, 101)]
    assert TECNICK.recognises(tecnick, [(1200, 1200)] * 100)
    assert not TECNICK.recognises(tecnick, [(1200, 1200)] * 99 + [(600, 600)])
    # CLIC's file names and sizes are any, so 41 images of one's own are never taken for it.
    clic = [Path(f"{number}.png") for number in range(41)]
    assert not CLIC_PRO_VALID.recognises(clic, [(1365, 2048)] * 41)
    assert CLIC_PRO_VALID.difference([(1365, 2048)] * 41) is None


def test_unreadable_images_are_named_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "deep" / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        found = find_images(str(tmp_path), tmp_path)
    assert (found.names, found.skipped, found.named) == (["deep/good.png"], 1, None)
    assert "bad.png" in caplog.text
    with pytest.raises(DataError, match=r"bad\.png"):
        find_images(str(tmp_path), tmp_path, on_error="raise")
    (tmp_path / "deep" / "good.png").unlink()
    with pytest.raises(DataError, match="none of the 1 in .* is readable"):
        find_images(str(tmp_path), tmp_path)


def test_neither_a_folder_nor_a_set() -> None:
    with pytest.raises(DataError, match=r"a folder or one of kodak, clic_pro_valid, tecnick, but there is no kodka"):
        find_images("kodka", Path("datasets"))
