"""CompressAI's codecs through the training program: both phases, export, resume, conversion, what is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from compressai.models import ScaleHyperprior
from safetensors.torch import load_file

from hpcm_spectral.models import load_codec

Run = Callable[..., int]


@pytest.fixture
def narrow_run(small_run: list[str]) -> list[str]:
    """A hyper-prior codec narrow enough for a test."""
    kept = [word for word in small_run if not word.startswith("model=")]
    return [*kept, "model=compressai", "model.N=8", "model.M=12", "data.crop_size=64"]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_hyper_prior_codec_trains_with_both_phases_and_is_exported(
    narrow_run: list[str], run_train: Run, run_program: Run, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert run_train(*narrow_run, "phase2=inter_scale", f"hydra.run.dir={run}") == 0
    rows = rows_of(run)
    assert {row["spectral/phase"] for row in rows} - {""} == {"phase1_intra", "phase2_inter"}
    # z and y lie four times apart: two wavelet levels.
    assert any(0 <= float(row["spectral/explained_1_2"]) <= 1 for row in rows if row["spectral/explained_1_2"])
    assert all(float(row["val/y_bpp"]) > 0 and float(row["val/z_bpp"]) > 0 for row in rows if row["val/loss"])
    theirs = ScaleHyperprior.from_state_dict(load_file(run / "codec.safetensors"))
    codec = load_codec(run)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(theirs.eval()(x)["x_hat"], codec(x)["x_hat"])
    assert run_program("convert_checkpoint", run / "checkpoints/last.ckpt", tmp_path / "converted") == 0
    converted = load_codec(tmp_path / "converted")
    assert (converted.name, converted.arguments) == ("bmshj2018-hyperprior", {"N": 8, "M": 12})


def test_a_resumed_run_equals_one_that_was_not_interrupted(
    narrow_run: list[str], run_train: Run, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_train(*narrow_run, f"hydra.run.dir={whole}") == 0
    first = [word for word in narrow_run if not word.startswith("trainer.max_epochs")]
    lr = "lr_scheduler=off"
    assert run_train(*first, lr, "trainer.max_epochs=1", f"hydra.run.dir={parts}") == 0
    assert run_train(f"resume={parts}", "trainer.max_epochs=2") == 0
    ours, theirs = (load_file(folder / "codec.safetensors") for folder in (whole, parts))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_codec_of_one_latent_is_refused_by_phase_2_in_a_sentence(
    narrow_run: list[str], run_train: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    factorized = [*narrow_run, "model.architecture=bmshj2018-factorized", f"hydra.run.dir={run}"]
    assert run_train(*factorized, "phase2=inter_scale") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "needs latents of at least two scales, got 1" in line
    assert not run.exists()
    assert run_train(*factorized, "trainer.max_epochs=1") == 0
    assert "val/y_bpp" in rows_of(run)[0]


def test_a_class_of_compressai_is_exported_under_its_registered_name(
    small_run: list[str], run_train: Run, tmp_path: Path
) -> None:
    kept = [word for word in small_run if not word.startswith("model=")]
    model = ["model=custom", "model._target_=compressai.models.ScaleHyperprior", "+model.N=8", "+model.M=12"]
    run = tmp_path / "run"
    assert run_train(*kept, *model, "data.crop_size=64", "trainer.max_epochs=1", f"hydra.run.dir={run}") == 0
    description = json.loads((run / "codec.json").read_text())
    assert (description["name"], description["arguments"]) == ("bmshj2018-hyperprior", {"N": 8, "M": 12})
    assert load_codec(run).name == "bmshj2018-hyperprior"


def test_a_crop_that_the_codec_would_pad_is_refused(
    narrow_run: list[str], run_train: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = [word for word in narrow_run if not word.startswith("data.crop_size")]
    assert run_train(*kept, "data.crop_size=100", f"hydra.run.dir={tmp_path / 'run'}") == 2
    assert "data.crop_size must be a positive multiple of 64, got 100; choose 64 or 128." in capsys.readouterr().err
