"""Phase 2 in whole runs: what it leaves alone, what it leaves behind, how it stops."""

import csv
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hpcm_spectral.models import HPCM_Tiny

ROOT = Path(__file__).parents[2]
FULL = ["experiment=full", "logger=csv"]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["train/loss"]]


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("full") / "run"


@pytest.fixture
def full_run(folder: Path, run_train: Callable[..., int], small_run: list[str]) -> Path:
    if not folder.exists():
        assert run_train(*FULL, *small_run, f"hydra.run.dir={folder}") == 0
    return folder


def test_the_phases_follow_each_other_at_the_configured_epoch(full_run: Path) -> None:
    logged = rows(full_run)
    assert [row["spectral/phase"] for row in logged] == ["phase1_intra"] * 3 + ["phase2_inter"] * 3
    for row in logged[3:]:
        assert row["spectral/tau"] == ""
        term = float(row["spectral/inter_scale_reg"])
        assert -0.2 - 1e-6 <= term < 0
        assert float(row["train/loss"]) == pytest.approx(float(row["train/rd_loss"]) + term, rel=1e-6)
        for pair in ("1_2", "2_3"):
            assert 0 <= float(row[f"spectral/explained_{pair}"]) <= 1
    assert [row["spectral/inter_scale_reg"] for row in logged[:3]] == [""] * 3


def test_the_aligner_is_trained_and_kept_for_resuming_but_not_exported(full_run: Path) -> None:
    state = checkpoint(full_run)
    aligners = {key: value for key, value in state["state_dict"].items() if key.startswith("stages.")}
    assert {tuple(value.shape) for value in aligners.values()} == {(40, 160, 1, 1)}
    assert all(value.abs().max() > 0 for value in aligners.values())
    codec, aligner = state["optimizer_states"][0]["param_groups"]
    assert (codec["initial_lr"], aligner["initial_lr"], len(aligner["params"])) == (1e-4, 1e-3, 2)

    exported = load_file(full_run / "codec.safetensors")
    plain = HPCM_Tiny()
    plain.load_state_dict(exported, strict=True)
    assert sum(p.numel() for p in plain.parameters()) == 1_247_173
    assert "phase2" not in (full_run / "codec.json").read_text()


def test_delta_0_measures_a_training_that_is_bit_identical_to_one_without_phase_2(
    run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    short = [*small_run, "phase1=off", "trainer.max_epochs=1"]
    for name, overrides in (
        ("without", []),
        ("measured", ["phase2=inter_scale", "phase2.delta=0", "phase2.start_epoch=0"]),
    ):
        assert run_train(*short, *overrides, f"hydra.run.dir={tmp_path / name}") == 0
    without, measured = (checkpoint(tmp_path / name)["state_dict"] for name in ("without", "measured"))
    assert all(torch.equal(measured[key], value) for key, value in without.items())
    losses = [[row["train/loss"] for row in rows(tmp_path / name)] for name in ("without", "measured")]
    assert losses[0] == losses[1]
    assert float(rows(tmp_path / "measured")[-1]["spectral/explained_1_2"]) > 0


def test_the_literal_formula_stops_before_it_reaches_weights_or_checkpoint(
    run_train: Callable[..., int], small_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    literal = ["phase2=inter_scale", "phase2.normalize=none", "phase2.aligner=joint", "phase2.lr=1", "phase1=off"]
    assert run_train(*small_run, *literal, "phase2.delta=10", f"hydra.run.dir={tmp_path}") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(r"phase2_inter must keep its term within 1000 .* got -[\d.e+]+ at epoch 1\.\d\d: ", line)
    # The checkpoint of the epoch before.
    state = checkpoint(tmp_path)
    assert state["epoch"] == 0
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())
    assert json.loads((tmp_path / "summary.json").read_text())["state"] == "failed"


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.precision=bf16-mixed", "channels_last=true"],
        ["trainer.accumulate_grad_batches=3", "phase2.distance=l1", "phase2.aligner=frozen"],
        ["phase2.distance=cosine", "phase2.downsample=strided_conv", "phase2.ramp_epochs=1", "phase2.pairs=[1]"],
        ["trainer.gradient_clip_val=null", "phase2.wavelet=db2", "phase2.latents=inclusive", "phase2.lr=null"],
    ],
)
def test_options_work_together(
    overrides: list[str], run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    arguments = ["phase2=inter_scale", "phase1=off", "phase2.start_epoch=0", *overrides, "trainer.max_epochs=1"]
    assert run_train(*small_run, *arguments, f"hydra.run.dir={tmp_path}") == 0
    for row in rows(tmp_path):
        assert math.isfinite(float(row["train/loss"]))
        assert -0.2 - 1e-6 <= float(row["spectral/inter_scale_reg"]) <= 0


def test_two_processes_train_with_an_aligner_that_is_unused_at_first(small_run: list[str], tmp_path: Path) -> None:
    changes = ["experiment=full", "trainer.devices=2", "data.samples_per_epoch=2"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/train.py"), *small_run, *changes, f"hydra.run.dir={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert [row["spectral/phase"] for row in rows(tmp_path / "run")] == ["phase1_intra", "phase2_inter"]
    aligners = [v for k, v in checkpoint(tmp_path / "run")["state_dict"].items() if k.startswith("stages.")]
    assert all(value.abs().max() > 0 for value in aligners)


def test_a_phase_that_never_acts_is_said(
    run_train: Callable[..., int], small_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    overrides = ["phase2=inter_scale", "phase2.start_epoch=5", "phase1=off", "trainer.max_epochs=1"]
    assert run_train(*small_run, *overrides, f"hydra.run.dir={tmp_path}") == 0
    assert "phase2_inter starts at epoch 5 and training ends at epoch 1" in capsys.readouterr().err


def test_nothing_of_a_stage_is_logged_after_its_window(
    run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    window = ["phase2=inter_scale", "phase1=off", "phase2.start_epoch=0.3", "phase2.end_epoch=0.6"]
    assert run_train(*small_run, *window, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}") == 0
    logged = [(row["spectral/phase"], row["spectral/delta"] != "") for row in rows(tmp_path)]
    assert logged == [("baseline", False), ("phase2_inter", True), ("baseline", False)]


def test_a_stage_whose_term_is_not_finite_is_named(
    run_train: Callable[..., int],
    small_run: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "odd_stages.py").write_text(
        "import torch\n"
        "from hpcm_spectral.stages import PenaltyStage\n"
        "class Nan(PenaltyStage):\n"
        "    phase = 'odd'\n"
        "    def forward(self, latents, progress):\n"
        "        return latents[0].y_hat.mean() * float('nan'), {}\n"
        "class Vector(PenaltyStage):\n"
        "    phase = 'odd'\n"
        "    def forward(self, latents, progress):\n"
        "        return latents[0].y_hat, {}\n"
        "class Alone(PenaltyStage):\n"
        "    phase = 'odd'\n"
        "    def forward(self, latents, progress):\n"
        "        return latents[0].y_hat.mean()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, sentence in (
        ("Nan", "odd must add a finite term to the loss, got nan at epoch 0.00"),
        ("Alone", "odd must return its value and its numbers by their keys, got Tensor"),
        ("Vector", "odd must return a tensor with one number, got a tensor [1, 40, 4, 4]"),
    ):
        run = tmp_path / name
        assert run_train(*small_run, "phase1=off", f"+phase2._target_=odd_stages.{name}", f"hydra.run.dir={run}") == 2
        assert sentence in capsys.readouterr().err
        if run.exists():  # a step is tried before the first one, where most stages break
            assert sentence in (run / "train.log").read_text()


def test_a_job_of_an_ablation_is_resumed_in_its_own_folder(
    run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    short = [word for word in small_run if not word.startswith("data.samples_per_epoch")] + ["data.samples_per_epoch=1"]
    sweep = ["experiment=ablation_distance", "phase2.distance=l2", "phase2.start_epoch=0", "trainer.max_epochs=1"]
    assert run_train(*short, *sweep, f"hydra.sweep.dir={tmp_path}") == 0
    assert run_train(f"resume={tmp_path / 'job'}", "trainer.max_epochs=2") == 0
    summary = json.loads((tmp_path / "job/summary.json").read_text())
    assert (summary["state"], summary["epochs"]) == ("finished", 2)
    assert 0 <= summary["spectral"]["explained_1_2"] <= 1
    assert run_train(*short, *sweep, f"hydra.run.dir={tmp_path / 'other'}") == 2
