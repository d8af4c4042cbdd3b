import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from hpcm_spectral.data import EpochSampler, TrainingCrops, ValidationImages, as_tensor, read_image
from hpcm_spectral.errors import DataError


def file_number(crop: torch.Tensor) -> int:
    return round(crop[2].max().item() * 255)


def test_each_cycle_visits_every_image_once_in_a_new_order(make_images) -> None:
    crops = TrainingCrops(make_images(7), crop_size=16, seed=1)
    cycles = [[file_number(crops[cycle * 7 + k]) for k in range(7)] for cycle in range(3)]
    assert all(sorted(cycle) == list(range(7)) for cycle in cycles)
    assert cycles[0] != cycles[1] != cycles[2]


def test_a_crop_is_a_piece_of_its_image_at_any_position(make_images) -> None:
    path = make_images(1, size=(10, 8))[0]
    image = as_tensor(read_image(path))
    crops = TrainingCrops([path], crop_size=6, seed=0)
    found = Counter()
    for n in range(400):
        crop = crops[n]
        assert crop.shape == (3, 6, 6)
        assert crop.dtype == torch.float32
        matches = [
            (top, left, flips)
            for top in range(3)
            for left in range(5)
            for flips in ((), (1,), (2,), (1, 2))
            if torch.equal(image[:, top : top + 6, left : left + 6].flip(flips), crop)
        ]
        assert len(matches) == 1
        found[matches[0]] += 1
    assert {match[:2] for match in found} == {(top, left) for top in range(3) for left in range(5)}
    up_down = sum(count for (_, _, flips), count in found.items() if 1 in flips)
    left_right = sum(count for (_, _, flips), count in found.items() if 2 in flips)
    both = sum(count for (_, _, flips), count in found.items() if flips == (1, 2))
    assert 160 < up_down < 240
    assert 160 < left_right < 240
    assert 65 < both < 135


def test_samples_do_not_depend_on_the_order_of_access(make_images) -> None:
    crops = TrainingCrops(make_images(5), crop_size=16, seed=3)
    expected = [crops[n] for n in range(20)]
    backward = {n: crops[n] for n in reversed(range(20))}
    assert all(torch.equal(expected[n], backward[n]) for n in range(20))


def test_several_crops_come_from_one_image_in_a_row(make_images) -> None:
    crops = TrainingCrops(make_images(3, size=(60, 50)), crop_size=16, seed=1, crops_per_image=4)
    assert len(crops) == 12
    drawn = [crops[n] for n in range(24)]
    for cycle in (drawn[:12], drawn[12:]):
        rows = [[file_number(crop) for crop in cycle[k : k + 4]] for k in (0, 4, 8)]
        assert all(len(set(row)) == 1 for row in rows)
        assert sorted(row[0] for row in rows) == [0, 1, 2]
    assert len({crop.numpy().tobytes() for crop in drawn}) == 24
    assert torch.equal(crops[13], drawn[13])


def test_seeds_differ(make_images) -> None:
    paths = make_images(1)
    one, two = (TrainingCrops(paths, crop_size=16, seed=seed) for seed in (1, 2))
    assert any(not torch.equal(one[n], two[n]) for n in range(3))


def test_the_stream_is_the_same_for_any_number_of_workers_and_after_a_resume(make_images) -> None:
    paths = make_images(5)

    def epochs(workers: int, numbers: list[int]) -> list[torch.Tensor]:
        sampler = EpochSampler(6)
        crops = TrainingCrops(paths, crop_size=16, seed=0)
        loader = DataLoader(crops, batch_size=2, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)
        result = []
        for number in numbers:
            sampler.set_epoch(number)
            result.append(torch.cat(list(loader)))
        return result

    expected = epochs(0, [0, 1, 2, 3])
    assert not torch.equal(expected[0], expected[1])
    assert all(torch.equal(a, b) for a, b in zip(epochs(2, [0, 1, 2, 3]), expected, strict=True))
    assert torch.equal(epochs(0, [3])[0], expected[3])
    assert torch.equal(epochs(2, [3])[0], expected[3])


def test_processes_share_out_an_epoch() -> None:
    samplers = [EpochSampler(7, rank, 3) for rank in range(3)]
    for sampler in samplers:
        sampler.set_epoch(2)
    assert [list(sampler) for sampler in samplers] == [[14, 17], [15, 18], [16, 19]]
    assert [len(sampler) for sampler in samplers] == [2, 2, 2]


def test_one_pixel_is_reflected_to_a_whole_crop(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (10, 20, 30)).save(tmp_path / "a.png")
    crop = TrainingCrops([tmp_path / "a.png"], crop_size=256, seed=0)[0]
    assert crop.shape == (3, 256, 256)
    assert (crop == torch.tensor([10, 20, 30])[:, None, None] / 255).all()


def test_reflection_mirrors_only_the_short_side(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 51, 102, 153, 204, 255]], dtype=np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).save(tmp_path / "b.png")
    wide = TrainingCrops([tmp_path / "a.png"], crop_size=4, seed=0)[0]
    assert (wide == wide[:, :1]).all()
    assert wide[0, 0].diff().abs().allclose(torch.tensor(0.2))
    narrow = TrainingCrops([tmp_path / "b.png"], crop_size=5, seed=0)[0][0, 0].tolist()
    assert narrow in ([0, 1, 1, 0, 0], [0, 0, 1, 1, 0])


def test_the_log_counts_small_and_unreadable_images(make_images, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    paths = make_images(4) + make_images(2, size=(40, 8), folder="small")
    (tmp_path / "broken.png").write_text("no image")
    crops = TrainingCrops([*paths, tmp_path / "broken.png"], crop_size=16, seed=0)
    assert caplog.messages[-1] == "train: 6 images; 2 smaller than 16 reflected; 1 unreadable skipped"
    assert "broken.png" in caplog.messages[0]
    assert crops.paths == paths
    skipping = TrainingCrops(paths, crop_size=16, seed=0, small_images="skip")
    assert caplog.messages[-1] == "train: 4 images; 2 smaller than 16 skipped"
    assert skipping.paths == paths[:4]


def test_unreadable_head_raises_on_request(make_images, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        TrainingCrops([*make_images(1), tmp_path / "broken.png"], crop_size=16, seed=0, on_error="raise")


def test_nothing_left_says_why(make_images, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no image")
    paths = [*make_images(3), tmp_path / "broken.png"]
    with pytest.raises(DataError, match=r"3 smaller than 64 skipped, 1 unreadable skipped"):
        TrainingCrops(paths, crop_size=64, seed=0, small_images="skip")


def test_a_damaged_file_is_replaced_by_the_next_and_named_once(make_images, truncate, caplog) -> None:
    paths = make_images(4)
    sound = TrainingCrops(paths, crop_size=16, seed=0)
    numbers = [file_number(sound[n]) for n in range(8)]
    truncate(paths[2])
    crops = TrainingCrops(paths, crop_size=16, seed=0)
    caplog.clear()
    got = [file_number(crops[n]) for n in range(8)]
    for start in (0, 4):
        cycle = numbers[start : start + 4]
        follower = cycle[(cycle.index(2) + 1) % 4]
        assert got[start : start + 4] == [follower if number == 2 else number for number in cycle]
    assert len(caplog.messages) == 1
    assert "002.png" in caplog.messages[0]


def test_a_damaged_file_raises_on_request(make_images, truncate) -> None:
    paths = make_images(1)
    truncate(paths[0])
    crops = TrainingCrops(paths, crop_size=16, seed=0, on_error="raise")
    with pytest.raises(DataError, match=r"000\.png"):
        crops[0]


def test_all_damaged_gives_up(make_images, truncate) -> None:
    paths = make_images(3)
    for path in paths:
        truncate(path)
    with pytest.raises(DataError, match="all 3 are damaged"):
        TrainingCrops(paths, crop_size=16, seed=0)[0]


def test_an_error_in_a_worker_arrives_as_its_sentence(make_images, truncate) -> None:
    paths = make_images(1)
    truncate(paths[0])
    crops = TrainingCrops(paths, crop_size=16, seed=0, on_error="raise")
    with pytest.raises(DataError) as direct:
        crops[0]
    with pytest.raises(DataError) as caught:
        next(iter(DataLoader(crops, num_workers=1)))
    assert str(caught.value) == str(direct.value)
    assert str(caught.value).startswith(f"The image file {paths[0]} must be readable")


def test_a_damaged_file_is_skipped_in_a_worker_too(make_images, truncate) -> None:
    paths = make_images(4)
    truncate(paths[2])
    crops = TrainingCrops(paths, crop_size=16, seed=0)
    loader = DataLoader(crops, batch_size=4, sampler=EpochSampler(8), num_workers=1)
    assert torch.equal(torch.cat(list(loader)), torch.stack([crops[n] for n in range(8)]))


def test_negative_numbers_are_refused(make_images) -> None:
    with pytest.raises(IndexError, match="-1"):
        TrainingCrops(make_images(1), crop_size=16, seed=0)[-1]


def test_validation_keeps_order_size_and_pixels(make_images, truncate, caplog) -> None:
    caplog.set_level(logging.INFO)
    paths = make_images(3)
    truncate(paths[1])
    images = ValidationImages(paths)
    assert images.names == ["000.png", "002.png"]
    assert len(images) == 2
    assert torch.equal(images[1], as_tensor(read_image(paths[2])))
    assert images[1].shape == (3, 30, 40)
    assert caplog.messages[-1] == "val: 2 images; 1 unreadable skipped; 2 with a side under 161 pixels, so no MS-SSIM"
    assert "001.png" in caplog.messages[0]
    with pytest.raises(DataError, match=r"001\.png"):
        ValidationImages(paths, on_error="raise")
    with pytest.raises(DataError, match="all 1 files were unreadable"):
        ValidationImages(paths[1:2])


def test_validation_names_tell_equal_file_names_apart(make_images) -> None:
    paths = make_images(1, folder="one") + make_images(1, folder="two")
    assert ValidationImages(paths).names == ["one/000.png", "two/000.png"]
