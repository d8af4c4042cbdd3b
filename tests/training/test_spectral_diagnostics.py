"""Spectral diagnostics in whole runs: what they find, and that training does not notice them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hpcm_spectral.models import HPCM_Tiny

EVERY = ["diagnostics=spectral", "diagnostics.every_n_epochs=1", "diagnostics.images=1", "diagnostics.bands=8"]
FILE = "diagnostics/spectral.npz"


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / FILE, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def without(small_run: list[str], *keys: str) -> list[str]:
    return [word for word in small_run if not word.startswith(keys)]


def test_training_is_bit_identical_with_diagnostics_and_they_measure_the_codec_as_trained(
    run_train: Callable[..., int], small_run: list[str], image_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    plain, diagnosed = tmp_path / "plain", tmp_path / "diagnosed"
    assert run_train(*small_run, f"hydra.run.dir={plain}") == 0
    # With W&B, for which pictures are drawn during training.
    assert run_train(*without(small_run, "logger"), *EVERY, f"hydra.run.dir={diagnosed}") == 0

    ours, theirs = checkpoint(diagnosed), checkpoint(plain)
    assert all(torch.equal(ours["state_dict"][key], value) for key, value in theirs["state_dict"].items())
    random = [c["callbacks"]["RandomState"]["cpu"] for c in (ours, theirs)]
    assert torch.equal(*random)
    tables = []
    for folder in (plain, diagnosed):
        with (folder / "metrics.csv").open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert tables[0] == tables[1]

    found = arrays(diagnosed)
    assert found["epochs"].tolist() == [1, 2]
    assert found["scales"].tolist() == ["z", "1", "2", "3"]
    codec = HPCM_Tiny().eval()
    codec.load_state_dict({k[6:]: v for k, v in ours["state_dict"].items() if k.startswith("codec.")})
    with Image.open(image_folders[1] / "0.png") as image:
        pixels = np.asarray(image, dtype=np.float64)[7:263, 22:278] / 255  # the middle of 270x300
    with torch.no_grad():
        out = codec(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
    error = out["x_hat"][0].permute(1, 2, 0).double().numpy() - pixels
    assert found["mse"][-1, -1] == pytest.approx((error**2).mean(), rel=1e-5)
    spent = sum(-torch.log2(v.double()).sum().item() for v in out["likelihoods"].values())
    assert found["bpp"][-1].sum() == pytest.approx(spent / 256**2, rel=1e-5)
    assert found["image_energy"].sum() == pytest.approx((pixels**2).sum(), rel=1e-5)
    assert not np.array_equal(found["energy"][0], found["energy"][1])

    summary = json.loads((diagnosed / "summary.json").read_text())
    assert 0 < summary["diagnostics_seconds"] < summary["seconds"]
    assert "diagnostics took" in (diagnosed / "train.log").read_text()
    assert (diagnosed / "spectral_evolution.png").stat().st_size > 10_000
    assert len(list(diagnosed.glob("wandb/offline-run-*/files/media/images/spectral/*.png"))) == 2
    assert "diagnostics_seconds" not in json.loads((plain / "summary.json").read_text())
    assert not (plain / "diagnostics").exists()


def test_a_resumed_run_continues_the_file_and_takes_what_fits_it_only(
    run_train: Callable[..., int], small_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    short = [*without(small_run, "trainer.max_epochs", "data.samples_per_epoch"), "data.samples_per_epoch=1", *EVERY]
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    assert run_train(*short, "trainer.max_epochs=3", f"hydra.run.dir={straight}") == 0
    assert run_train(*short, "trainer.max_epochs=2", f"hydra.run.dir={resumed}") == 0
    spent = json.loads((resumed / "summary.json").read_text())["diagnostics_seconds"]
    # As a kill leaves it: measured once more than the last checkpoint knows.
    kept = arrays(resumed)
    more = {
        key: np.concatenate([kept[key], kept[key][-1:] + 1]) for key in ("epochs", "energy", "overlap", "bpp", "mse")
    }
    np.savez(resumed / FILE, **{**kept, **more})

    go_on = ["trainer.max_epochs=3", f"resume={resumed}"]
    whole = (resumed / FILE).read_bytes()
    (resumed / FILE).write_bytes(whole[:1000])
    assert run_train(*go_on) == 2
    assert "spectral.npz must hold spectral diagnostics, but it is damaged" in capsys.readouterr().err
    (resumed / FILE).write_bytes(whole)
    for change in ("bands=9", "images=2", "max_side=128"):
        assert run_train(*go_on, f"diagnostics.{change}") == 2
        assert "must hold the bands and photographs that are measured now" in capsys.readouterr().err

    assert run_train(*go_on) == 0
    ours, theirs = arrays(resumed), arrays(straight)
    assert ours["epochs"].tolist() == [1, 2, 3]
    for key, values in theirs.items():
        np.testing.assert_array_equal(ours[key], values)
    assert json.loads((resumed / "summary.json").read_text())["diagnostics_seconds"] > spent

    assert run_train("trainer.max_epochs=4", f"resume={resumed}", "diagnostics=off") == 0
    assert arrays(resumed)["epochs"].tolist() == [1, 2, 3]


def test_it_acts_at_the_first_validation_after_each_kth_epoch_and_at_the_last(
    run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    short = [*without(small_run, "trainer.max_epochs", "data.samples_per_epoch"), "data.samples_per_epoch=1", *EVERY]
    short += ["trainer.check_val_every_n_epoch=2", "trainer.max_epochs=8", "diagnostics.every_n_epochs=3"]
    assert run_train(*short, f"hydra.run.dir={tmp_path}") == 0
    assert arrays(tmp_path)["epochs"].tolist() == [4, 6, 8]


def test_without_validation_nothing_is_measured_and_training_goes_on(
    run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    overrides = [*EVERY, "trainer.limit_val_batches=0", "trainer.max_epochs=1"]
    assert run_train(*without(small_run, "trainer.max_epochs"), *overrides, f"hydra.run.dir={tmp_path}") == 0
    assert not (tmp_path / "diagnostics").exists()


def test_the_precision_is_that_of_validation(
    run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    overrides = [*EVERY, "trainer.precision=bf16-mixed", "channels_last=true", "trainer.max_epochs=1"]
    overrides.append("trainer.limit_val_batches=1")
    assert run_train(*without(small_run, "trainer.max_epochs"), *overrides, f"hydra.run.dir={tmp_path}") == 0
    found = arrays(tmp_path)
    assert np.isfinite(found["mse"]).all()
    assert (found["bpp"] > 0).all()
