import logging
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hpcm_spectral.data import (
    EpochSampler,
    FolderDataModule,
    PixelCache,
    TrainingCrops,
    ValidationImages,
    heads,
    pixel_cache,
    read_head,
    read_image,
)
from hpcm_spectral.errors import DataError

MIB = 2**-10  # in GiB


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that the cache has decoded in this process."""
    names: list[str] = []

    def counted(path: Path, *limit: int) -> np.ndarray:
        names.append(path.name)
        return read_image(path, *limit)

    monkeypatch.setattr(pixel_cache, "read_image", counted)
    return names


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "pixels").iterdir())


def drawn(paths: list[Path], cache: PixelCache | None, numbers: int = 30) -> torch.Tensor:
    crops = TrainingCrops(paths, crop_size=35, seed=2, cache=cache)
    return torch.stack([crops[n] for n in range(numbers)])


@pytest.mark.parametrize("limit", [1, 10 * MIB / 1000])
def test_samples_are_the_same_with_a_cold_a_warm_and_a_full_cache(
    make_images, tmp_path: Path, decoded: list[str], limit: float
) -> None:
    paths = make_images(5)  # 3600 bytes each, and a side that is reflected
    expected = drawn(paths, None)
    fit = {1: 5}.get(limit, 2)
    for before in (0, fit):
        decoded.clear()
        assert torch.equal(drawn(paths, PixelCache(str(tmp_path / "c"), limit)), expected)
        assert {name: decoded.count(name) for name in sorted({*decoded})} == {
            path.name: 1 if k < fit else 6 for k, path in enumerate(paths) if k >= before
        }
    assert len(entries(tmp_path / "c")) == fit


def test_workers_share_what_each_has_decoded(make_images, tmp_path: Path, decoded: list[str]) -> None:
    paths = make_images(6)
    crops = TrainingCrops(paths, crop_size=16, seed=0, cache=PixelCache(str(tmp_path / "c")))
    loader = DataLoader(crops, batch_size=1, sampler=EpochSampler(6), num_workers=2)
    seen = torch.cat(list(loader))
    assert len(entries(tmp_path / "c")) == 6
    assert torch.equal(seen, torch.stack([crops[n] for n in range(6)]))
    assert decoded == []


@pytest.mark.parametrize("keep_time", [False, True])
def test_an_image_that_changed_is_decoded_anew(make_images, tmp_path: Path, keep_time: bool) -> None:
    one, two = make_images(2)
    two_pixels = read_image(two)
    cache = PixelCache(str(tmp_path / "c"))
    cache.admit([(one, 1200)])
    cache.read(one)
    times = (one.stat().st_atime_ns, one.stat().st_mtime_ns)
    shutil.copyfile(two, one)
    if keep_time:
        os.utime(one, ns=times)
        assert one.stat().st_size == two.stat().st_size
    for _ in range(2):
        assert np.array_equal(cache.read(one), two_pixels)
    one.unlink()
    with pytest.raises(DataError, match="No such file"):
        cache.read(one)


@pytest.mark.parametrize("harm", ["cut", "emptied", "noise", "other", "cleared"])
def test_what_is_damaged_in_the_cache_is_decoded_and_mended(
    make_images, tmp_path: Path, decoded: list[str], harm: str
) -> None:
    paths = make_images(2)
    cache = PixelCache(str(tmp_path / "c"))
    crops = TrainingCrops(paths, crop_size=35, seed=2, cache=cache)
    expected = torch.stack([crops[n] for n in range(30)])
    for entry in entries(tmp_path / "c"):
        content = entry.read_bytes()
        noise = b"PK\3\4" + bytes(range(256)) * 20
        entry.write_bytes({"cut": content[:-1], "emptied": b"", "noise": noise}.get(harm, content))
        if harm == "other":
            np.save(entry, np.zeros((4, 4)))
    if harm == "cleared":
        shutil.rmtree(tmp_path / "c")
    decoded.clear()
    assert torch.equal(torch.stack([crops[n] for n in range(30)]), expected)
    assert sorted(decoded) == ["000.png", "001.png"]


def test_sets_share_the_limit_and_the_longest_unused_makes_room(make_images, tmp_path: Path) -> None:
    folder, files = tmp_path / "c", make_images(9)
    groups = [files[:3], files[3:6], files[6:]]
    limit = 8 * 3728 / 2**30  # eight images with their heads
    for age, paths in ((9000, groups[0]), (99000, groups[1])):
        before = set(entries(folder)) if folder.exists() else set()
        drawn(paths, PixelCache(str(folder), limit))
        for entry in set(entries(folder)) - before:
            os.utime(entry, (entry.stat().st_mtime - age,) * 2)
    (folder / "pixels" / "mine.npy").write_bytes(bytes(10**6))
    drawn(groups[2], PixelCache(str(folder), limit))
    assert sum(entry.stat().st_size for entry in entries(folder) if entry.name != "mine.npy") <= 8 * 3728
    left = [[path for path in group if _is_kept(path, folder)] for group in groups]
    assert [len(group) for group in left] == [3, 2, 3]
    assert (folder / "pixels" / "mine.npy").exists()


def _is_kept(path: Path, folder: Path) -> bool:
    return PixelCache(str(folder))._mapped(str(pixel_cache._name(path))) is not None


def test_validation_images_keep_their_place_beside_a_training_set_beyond_the_limit(
    make_images, tmp_path: Path, decoded: list[str]
) -> None:
    train, val = make_images(6, folder="train"), make_images(2, folder="val")
    for _ in range(2):
        decoded.clear()
        data = FolderDataModule(
            str(train[0].parent), str(val[0].parent), cache_gib=4 * 3728 / 2**30, cache_dir=str(tmp_path / "c")
        )
        data.setup("fit")
        images = ValidationImages(val, cache=data.cache)
        assert torch.equal(torch.stack(list(images)), torch.stack(list(ValidationImages(val))))
    assert decoded == []


def test_a_folder_that_takes_nothing_is_said_once_and_training_goes_on(make_images, tmp_path: Path, caplog) -> None:
    paths = make_images(3)
    (tmp_path / "file").touch()
    expected = drawn(paths, None)
    caplog.clear()
    cache = PixelCache(str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(drawn(paths, cache), expected)
        assert torch.equal(torch.stack(list(ValidationImages(paths, cache=cache))[:1])[0], ValidationImages(paths)[0])
    assert len([text for text in caplog.messages if "data.cache_dir" in text]) == 1


def test_zero_writes_nothing(image_folders: tuple[Path, Path], tmp_path: Path) -> None:
    train, val = map(str, image_folders)
    data = FolderDataModule(train, val, num_workers=0, batch_size=2, cache_gib=0, cache_dir=str(tmp_path / "c"))
    list(data.train_dataloader())
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("delay", [0, 0.001])
def test_heads_are_kept_until_their_file_changes(make_images, tmp_path: Path, monkeypatch, delay: float) -> None:
    (image, *_) = make_images(1)
    paths = [tmp_path / "images" / f"{number:03d}.png" for number in range(601)]
    for path in paths[1:600]:
        shutil.copyfile(image, path)
    paths[600].write_text("no image")
    read: set[Path] = set()
    threads: set[int] = set()

    def slow(path: Path, limit: int) -> heads.Head:
        read.add(path)
        threads.add(threading.get_ident())
        time.sleep(delay)
        return read_head(path, limit)

    monkeypatch.setattr(heads, "read_head", slow)

    def sizes() -> list[object]:
        read.clear()
        found = heads.read_heads(paths, 178, tmp_path)
        return [str(head) if isinstance(head, DataError) else head[:2] for head in found]

    first = sizes()
    assert read == {*paths}
    assert len(threads) > 1 or not delay  # a disk that is waited for is asked for several at once
    assert first[:600] == [(40, 30)] * 600
    assert "600.png must be readable" in str(first[600])
    assert sizes() == first
    assert read == {paths[600]}
    shutil.copyfile(make_images(1, size=(50, 20), folder="other")[0], paths[7])
    assert sizes() == [*first[:7], (50, 20), *first[8:]]
    assert read == {paths[7], paths[600]}
    assert [type(head) for head in heads.read_heads(paths[7:9], 0, tmp_path)] == [DataError, DataError]
    (kept,) = (tmp_path / "heads").iterdir()
    kept.write_text(kept.read_text()[:1000])
    assert sizes()[8:] == first[8:]
    assert read == {*paths}
