"""Whole small runs: what they compute, what they leave, how they go on."""

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from logged import column
from safetensors.torch import load_file

from hpcm_spectral.build import build_node
from hpcm_spectral.cli.entry import config_folder
from hpcm_spectral.config import plain
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.metrics import bits
from hpcm_spectral.models import HPCM_Tiny

RUN_FILES = (
    "config.yaml",
    "overrides.txt",
    "provenance.json",
    "git.diff",
    "metrics.csv",
    "train.log",
    "summary.json",
    "codec.safetensors",
    "codec.json",
    "curves.png",
    "reconstructions.png",
    "spectrum.png",
    "samples/samples.json",
    "checkpoints/last.ckpt",
    "checkpoints/best.ckpt",
)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def codec_weights(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return {key.removeprefix("codec."): value for key, value in state.items() if key.startswith("codec.")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {name: root / name for name in ("phase1", "off")}


@pytest.fixture
def phase1_run(folders: dict[str, Path], run_train: Callable[..., int], small_run: list[str]) -> Path:
    if not folders["phase1"].exists():
        assert run_train(*small_run, f"hydra.run.dir={folders['phase1']}") == 0
    return folders["phase1"]


@pytest.fixture
def plain_run(folders: dict[str, Path], run_train: Callable[..., int], small_run: list[str]) -> Path:
    if not folders["off"].exists():
        assert run_train(*small_run, "phase1=off", f"hydra.run.dir={folders['off']}") == 0
    return folders["off"]


def test_without_stages_training_is_bit_identical_to_a_plain_loop(plain_run: Path, small_run: list[str]) -> None:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = plain(compose("train", overrides=[*small_run, "phase1=off"]))
    data = build_node(config["data"], "data")
    data.setup("fit")
    torch.manual_seed(config["seed"])
    codec = build_node(config["model"], "model").to(memory_format=torch.channels_last)
    loss_function = RateDistortionLoss(lmbda=0.013, metric="mse")
    optimizer = torch.optim.Adam(codec.parameters(), lr=1e-4)
    losses = []
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        for x in loader:
            x = x.contiguous(memory_format=torch.channels_last)
            out = codec(x)
            loss = loss_function(out["x_hat"], out["likelihoods"], x).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    assert len(losses) == 6
    assert column(plain_run, "train/loss") == losses
    trained = codec_weights(plain_run)
    assert all(torch.equal(trained[key], value) for key, value in codec.state_dict().items())


def test_phase_1_changes_the_weights_but_not_what_validation_sees(
    phase1_run: Path, plain_run: Path, image_folders: tuple[Path, Path]
) -> None:
    with_phase, without = codec_weights(phase1_run), codec_weights(plain_run)
    assert any(not torch.equal(with_phase[key], without[key]) for key in with_phase)

    # The last validation, computed again by hand on the full photographs.
    codec = HPCM_Tiny().eval()
    codec.load_state_dict(with_phase)
    from hpcm_spectral.data import FolderDataModule

    data = FolderDataModule(train_dir=str(image_folders[0]), val_dir=str(image_folders[1]), num_workers=0)
    bpps = []
    for x in data.val_dataloader():
        with torch.no_grad():
            out = codec(x)
        bpps.append(sum(bits(v).item() for v in out["likelihoods"].values()) / (x.shape[2] * x.shape[3]))
    assert column(phase1_run, "val/bpp_loss")[-1] == pytest.approx(sum(bpps) / len(bpps), rel=1e-6)


def test_the_run_folder_is_complete(phase1_run: Path) -> None:
    assert [name for name in RUN_FILES if not (phase1_run / name).is_file()] == []
    summary = json.loads((phase1_run / "summary.json").read_text())
    assert (summary["state"], summary["epochs"], summary["steps"]) == ("finished", 2, 6)
    assert summary["seconds_per_step"] > 0
    assert not list(phase1_run.rglob(".*"))  # no temporary file is left behind


def test_metrics_have_the_promised_keys_and_the_phase_changes_where_it_should(phase1_run: Path) -> None:
    logged = rows(phase1_run)
    training = [row for row in logged if row["train/loss"]]
    keys = ("loss", "bpp_loss", "mse_loss", "psnr", "y_bpp", "z_bpp")
    for row in training:
        assert all(math.isfinite(float(row[f"train/{key}"])) for key in (*keys, "lr"))
    assert [row["spectral/phase"] for row in training] == ["phase1_intra"] * 3 + ["baseline"] * 3
    assert [row["spectral/tau"] for row in training[3:]] == [""] * 3
    assert [float(row["spectral/tau"]) for row in training[:3]] == pytest.approx([0.05] * 3)
    assert [float(row["epoch"]) for row in training] == pytest.approx([0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3])
    assert len(column(phase1_run, "val/ms_ssim_db")) == 2
    assert len([row for row in logged if row["val/loss"]]) == 2
    assert [float(row["epoch"]) for row in logged if row["val/loss"]] == [1, 2]


def test_the_exported_codec_holds_the_best_weights_and_nothing_of_a_stage(phase1_run: Path) -> None:
    exported = load_file(phase1_run / "codec.safetensors")
    best = torch.load(phase1_run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert set(exported) == {key.removeprefix("codec.") for key in best if key.startswith("codec.")}
    assert all(torch.equal(exported[key], best[f"codec.{key}"]) for key in exported)
    assert "stage" not in (phase1_run / "codec.json").read_text().lower()
    assert "phase" not in (phase1_run / "codec.json").read_text().lower()


@pytest.mark.parametrize(("every", "phase2"), [(1, "off"), (2, "off"), (1, "inter_scale")])
def test_a_resumed_run_equals_one_that_was_not_interrupted(
    every: int, phase2: str, run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    short = [word for word in small_run if not word.startswith(("trainer.max_epochs", "data.samples_per_epoch"))]
    # Phase 1 ends, and phase 2 starts, after the first epoch; the learning rate drops after the second.
    short += [f"phase2={phase2}", "data.samples_per_epoch=1", f"trainer.check_val_every_n_epoch={every}", "logger=csv"]
    short += ["lr_scheduler.milestones=[0.5]", "lr_scheduler.factors=[0.1]"]
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    assert run_train(*short, "trainer.max_epochs=4", f"hydra.run.dir={straight}") == 0
    for epochs in (1, 3):
        assert run_train(*short, f"trainer.max_epochs={epochs}", "resume=auto", f"hydra.run.dir={resumed}") == 0
        # A kill comes after rows that the last checkpoint does not know; they are taken again.
        table = (resumed / "metrics.csv").read_text()
        header, last = table.splitlines()[0], table.splitlines()[-1]
        assert header.startswith("step,")
        (resumed / "metrics.csv").write_text(table + f"{epochs},{last.partition(',')[2]}\n")
    # Without the overrides: those of the run that is continued are taken up again.
    assert run_train("trainer.max_epochs=4", f"resume={resumed}") == 0

    keys = ["step", "epoch", "train/loss", "train/lr", "val/loss", "val/psnr"]
    if phase2 != "off":
        keys += ["spectral/inter_scale_reg", "spectral/distance_2_3", "spectral/explained_1_2"]
        phases = [[row["spectral/phase"] for row in rows(run) if row["train/loss"]] for run in (straight, resumed)]
        assert phases == [["phase1_intra", "phase2_inter", "phase2_inter", "phase2_inter"]] * 2
    for key in keys:
        assert column(resumed, key) == column(straight, key), key
        assert column(straight, key)
    ours, theirs = codec_weights(resumed), codec_weights(straight)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert len(json.loads((resumed / "provenance.json").read_text())["sessions"]) == 3
    before = (resumed / "summary.json").read_bytes()
    assert run_train(f"resume={resumed}") == 0  # nothing is left to do, and nothing is lost
    assert (resumed / "summary.json").read_bytes() == before


def test_two_processes_train_together_and_one_writes(small_run: list[str], tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts/train.py"
    folder = tmp_path / "run"
    changes = ["trainer.devices=2", "trainer.max_epochs=1", "data.samples_per_epoch=4"]
    done = subprocess.run(
        [sys.executable, str(script), *small_run, *changes, f"hydra.run.dir={folder}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "summary.json").read_text())["steps"] == 2
    assert len(json.loads((folder / "provenance.json").read_text())["sessions"]) == 1
    assert len(column(folder, "train/loss")) == 2
    assert (folder / "codec.safetensors").exists()


def test_the_default_logger_keeps_one_offline_run_per_folder(
    run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    common = [word for word in small_run if not word.startswith(("logger", "trainer.max_epochs"))]
    for epochs in (1, 2):
        assert run_train(*common, f"trainer.max_epochs={epochs}", "resume=auto", f"hydra.run.dir={folder}") == 0
    runs = sorted((folder / "wandb").glob("offline-run-*"))
    identity = (folder / "wandb_id.txt").read_text().strip()
    assert {run.name.rsplit("-", 1)[1] for run in runs} == {identity}


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.precision=bf16-mixed", "channels_last=true", "data.num_workers=0"],
        ["trainer.accumulate_grad_batches=3", "data.num_workers=1", "loss=ms_ssim"],
    ],
)
def test_options_of_the_trainer_work(
    overrides: list[str], run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    kept = [word for word in small_run if not word.startswith("data.num_workers")]
    folder = tmp_path / "run"
    assert run_train(*kept, *overrides, "trainer.max_epochs=1", f"hydra.run.dir={folder}") == 0
    assert all(math.isfinite(loss) for loss in column(folder, "train/loss"))
    accumulated = "trainer.accumulate_grad_batches=3" in overrides
    assert json.loads((folder / "summary.json").read_text())["steps"] == (1 if accumulated else 3)
