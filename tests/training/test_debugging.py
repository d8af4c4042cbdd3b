"""Lightning's debugging options, the sanity validation, and limits that leave nothing."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

CODECS = '''
import torch
from hpcm_spectral.codec import ScaleLatent
from hpcm_spectral.models import HPCM


class Unpadded(HPCM):
    """Validates no image whose sides are no multiples of 64."""

    def forward(self, x, level=None):
        if x.shape[-1] % 64:
            raise RuntimeError("sizes of tensors must match")
        return super().forward(x)


class OneScale(HPCM):
    def forward(self, x, level=None):
        out = super().forward(x)
        return {**out, "latents": out["latents"][-1:]}
'''


@pytest.fixture
def own_codecs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_codecs.py").write_text(CODECS)
    monkeypatch.syspath_prepend(str(tmp_path))


def short(small_run: list[str], *more: str) -> list[str]:
    given = {word.split("=")[0] for word in more}
    return [*(word for word in small_run if word.split("=")[0] not in given), *more]


def test_fast_dev_run_takes_a_step_and_a_validation_and_leaves_nothing(
    run_train: Callable[..., int], small_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    debug = ["debug=fast", "diagnostics=spectral", "callbacks=lr_monitor", "logger=wandb"]
    kept = [word for word in small_run if not word.startswith("logger")]
    assert run_train(*kept, *debug, f"hydra.run.dir={tmp_path / 'run'}") == 0
    assert "fast_dev_run: training and validation went through; nothing is kept" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        (["+trainer.overfit_batches=1"], 2),
        (["+trainer.limit_train_batches=2", "trainer.limit_val_batches=1"], 4),
        (["+trainer.detect_anomaly=true", "+trainer.deterministic=true", "+trainer.val_check_interval=0.5"], 4),
        (["+trainer.val_check_interval=3", "trainer.check_val_every_n_epoch=null"], 4),
    ],
)
def test_other_options_give_a_whole_run(
    overrides: list[str], steps: int, run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    arguments = short(small_run, "data.samples_per_epoch=2", "callbacks=early_stopping", *overrides)
    try:
        assert run_train(*arguments, f"hydra.run.dir={tmp_path}") == 0
    finally:
        torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["state"], summary["steps"]) == ("finished", steps)
    assert summary["best_val_loss"] > 0


@pytest.mark.parametrize(("profiler", "said"), [("simple", "run_training_batch"), ("advanced", "ncalls")])
def test_a_profilers_table_reaches_the_console_and_the_log(
    profiler: str,
    said: str,
    run_train: Callable[..., int],
    small_run: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    arguments = short(small_run, "data.samples_per_epoch=1", "trainer.max_epochs=1", f"+trainer.profiler={profiler}")
    assert run_train(*arguments, f"hydra.run.dir={tmp_path}") == 0
    assert capsys.readouterr().err.count("FIT Profiler Report") == 1
    assert said in (tmp_path / "train.log").read_text()
    assert logging.getLogger("lightning.pytorch.profilers").handlers == logging.getLogger("hpcm_spectral").handlers


REFUSED = {
    "trainer.limit_val_batches=0.1": "trainer.limit_val_batches must leave at least one of 2, got the share 0.1",
    "+trainer.limit_train_batches=0.2": "trainer.limit_train_batches must leave at least one of 3, got the share 0.2",
    "+trainer.limit_train_batches=0": "trainer.limit_train_batches must leave at least one step to train, got 0.",
    "+trainer.val_check_interval=4": "trainer.val_check_interval must be at most the 3 batches of an epoch, got 4",
    "+trainer.num_sanity_val_steps=1": "trainer.num_sanity_val_steps is not a setting",
    "trainer.precision=16-true": "trainer.precision must be 32-true, bf16-mixed or 16-mixed, got 16-true",
    "model._target_=own_codecs.Unpadded": "model must validate images of any size, but Unpadded failed on one of 99x99 "
    "pixels: RuntimeError: sizes of tensors must match",
    "lr_scheduler.monitor=val/los": "lr_scheduler.monitor must name a metric of the validation (val/loss, val/bpp_loss",
    "model._target_=torch.nn.ReLU": "model.",
}


@pytest.mark.usefixtures("own_codecs")
@pytest.mark.parametrize(("override", "sentence"), REFUSED.items())
def test_what_cannot_work_is_said_before_anything_is_written(
    override: str,
    sentence: str,
    run_train: Callable[..., int],
    small_run: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert run_train(*short(small_run, override), f"hydra.run.dir={tmp_path / 'run'}") == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("own_codecs")
def test_a_codec_of_one_scale_is_refused_by_phase_2(
    run_train: Callable[..., int], small_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = [*small_run, "model._target_=own_codecs.OneScale", "phase2=inter_scale"]
    assert run_train(*arguments, f"hydra.run.dir={tmp_path / 'run'}") == 2
    assert "phase2_inter needs latents of at least two scales, got 1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
