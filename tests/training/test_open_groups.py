"""What users choose or bring by ``_target_``: optimizers, schedules, callbacks, loggers, stages."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from logged import column
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

OWN = '''
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from hpcm_spectral.stages import PenaltyStage


class Sparsity(PenaltyStage):
    phase = "sparsity"

    def __init__(self, weight: float = 0.1, end_epoch: float | None = None):
        super().__init__(end_epoch=end_epoch)
        self.weight = weight

    def forward(self, latents, progress):
        term = self.weight * latents[-1].y_hat.abs().mean()
        return term, {"spectral/sparsity": term.detach()}


class Odd(Sparsity):
    def describe(self):
        return {"weight": {1, 2}}


class Stop(Callback):
    """Interrupts the training after the checkpoint of an epoch."""

    def __init__(self, epoch: int):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


class Numbers(Logger):
    """Refuses words."""

    def __init__(self, save_dir: str):
        super().__init__()
        self.file = f"{save_dir}/numbers.txt"

    name = version = "numbers"

    def log_hyperparams(self, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        with open(self.file, "a") as file:
            file.write(" ".join(f"{key}={float(value)}" for key, value in metrics.items()) + "\\n")
'''


@pytest.fixture(autouse=True)
def own_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_classes.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def shorter(small_run: list[str]) -> list[str]:
    kept = [word for word in small_run if not word.startswith(("data.samples_per_epoch", "trainer.max_epochs"))]
    return [*kept, "data.samples_per_epoch=1", "trainer.limit_val_batches=1", "trainer.max_epochs=3"]


def checkpoint(folder: Path, name: str = "last") -> dict:
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)


def assert_same_training(ours: Path, theirs: Path) -> None:
    for key in ("train/loss", "train/lr", "val/loss"):
        assert column(ours, key) == column(theirs, key), key
        assert column(ours, key)
    first, second = (checkpoint(folder) for folder in (ours, theirs))
    for state in ("state_dict", "current_model_state"):
        for key, value in first.get(state, {}).items():
            assert torch.equal(value, second[state][key]), key
    assert [s["param_groups"] for s in first["optimizer_states"]] == [
        s["param_groups"] for s in second["optimizer_states"]
    ]


RESUMED = {
    "plateau": [
        "lr_scheduler=plateau",
        "lr_scheduler.patience=0",
        "lr_scheduler.threshold=1e9",
        "+lr_scheduler.threshold_mode=abs",
        "optimizer.lr=1e-3",
    ],
    "warmup": ["lr_scheduler=warmup_cosine", "lr_scheduler.warmup=0.5", "optimizer=adamw", "phase2=inter_scale"],
    "cosine, sgd": ["lr_scheduler=cosine", "optimizer=sgd", "optimizer.lr=1e-4"],
    "one cycle": [
        "lr_scheduler=off",
        "+lr_scheduler._target_=torch.optim.lr_scheduler.OneCycleLR",
        "+lr_scheduler.max_lr=1e-3",
        "+lr_scheduler.interval=step",
    ],
    "averages": ["callbacks=ema", "callbacks.ema.decay=0.5", "lr_scheduler=off"],
}


def test_ms_ssim_of_some_of_the_validation_images_is_no_metric(
    run_train: Callable[..., int], small_run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, side in (("large", 200), ("small", 160)):
        Image.new("RGB", (side, 200)).save(tmp_path / f"{name}.png")
    watching = ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val/ms_ssim_db"]
    assert run_train(*small_run, f"data.val_dir={tmp_path}", *watching, f"hydra.run.dir={tmp_path / 'run'}") == 2
    err = capsys.readouterr().err
    assert "val: 2 images; 1 with a side under 161 pixels, so no MS-SSIM" in err
    assert "got val/ms_ssim_db" in err


@pytest.mark.parametrize("overrides", RESUMED.values(), ids=RESUMED.keys())
def test_a_resumed_run_equals_one_that_was_not_interrupted(
    overrides: list[str], run_train: Callable[..., int], shorter: list[str], tmp_path: Path
) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    assert run_train(*shorter, *overrides, f"hydra.run.dir={straight}") == 0
    stop = ["+callbacks.stop._target_=own_classes.Stop", "+callbacks.stop.epoch=2"]
    assert run_train(*shorter, *overrides, *stop, f"hydra.run.dir={resumed}") == 130
    assert run_train(*shorter, *overrides, f"resume={resumed}", "+callbacks.stop.epoch=9") == 0
    assert_same_training(resumed, straight)
    if "optimizer.lr=1e-3" in overrides:
        # The first validation is the best one yet; each later one lowers the rates, at most to min_lr.
        assert column(straight, "train/lr") == pytest.approx([1e-3, 1e-3, 1e-4])


def test_settings_that_change_take_effect_on_resume_for_every_kind(
    run_train: Callable[..., int], shorter: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = tmp_path / "first"
    plateau = [
        "lr_scheduler=plateau",
        "lr_scheduler.patience=0",
        "lr_scheduler.threshold=1e9",
        "+lr_scheduler.threshold_mode=abs",
        "phase2=inter_scale",
    ]
    arguments = [*shorter, *plateau, "phase2.lr=2e-3", "phase2.start_epoch=0", "phase1=off", "trainer.max_epochs=2"]
    assert run_train(*arguments, "optimizer.lr=1e-3", f"hydra.run.dir={first}") == 0
    assert column(first, "train/lr") == pytest.approx([1e-3, 1e-3])

    def resumed(name: str, *changes: str) -> tuple[list[float], list[dict]]:
        shutil.copytree(first, tmp_path / name)
        assert run_train(f"resume={tmp_path / name}", "trainer.max_epochs=3", *changes) == 0
        return column(tmp_path / name, "train/lr"), checkpoint(tmp_path / name)["optimizer_states"][0]["param_groups"]

    # The rate had been lowered tenfold.
    rates, groups = resumed("rate", "optimizer.lr=2e-3", "optimizer.betas=[0.8,0.9]", "+optimizer.weight_decay=0.1")
    assert rates[2] == pytest.approx(2e-4)
    assert all((list(g["betas"]), g["weight_decay"]) == ([0.8, 0.9], 0.1) for g in groups)
    assert [g["lr"] for g in groups] == pytest.approx([2e-5, 2e-5])
    rates, groups = resumed("factor", "lr_scheduler.factor=0.5")
    assert rates[2] == pytest.approx(1e-4)
    assert [g["lr"] for g in groups] == pytest.approx([5e-5, 1e-4])
    # Another schedule and another optimizer begin anew, where the training stands.
    rates, _ = resumed(
        "schedule", "lr_scheduler=published", "lr_scheduler.milestones=[0.6]", "lr_scheduler.factors=[0.3]"
    )
    assert rates[2] == pytest.approx(3e-4)
    capsys.readouterr()
    rates, groups = resumed("optimizer", "optimizer=sgd", "optimizer.lr=1e-5", "lr_scheduler=off")
    assert "SGD begins anew in place of Adam" in capsys.readouterr().err
    assert rates[2] == pytest.approx(1e-5)
    assert groups[0]["momentum"] == 0.9


def test_averaged_weights_are_validated_kept_and_exported(
    run_train: Callable[..., int], shorter: list[str], tmp_path: Path
) -> None:
    averages = ["callbacks=ema", "callbacks.ema.decay=0.5", "optimizer.lr=2e-3", "diagnostics=spectral", "phase1=off"]
    more = ["diagnostics.every_n_epochs=1", "diagnostics.images=1", "diagnostics.bands=4", "trainer.max_epochs=2"]
    assert run_train(*shorter, *averages, *more, f"hydra.run.dir={tmp_path / 'run'}") == 0
    folder = tmp_path / "run"
    best = checkpoint(folder, "best")
    exported = load_file(folder / "codec.safetensors")
    assert all(torch.equal(value, best["state_dict"][f"codec.{key}"]) for key, value in exported.items())
    assert any(not torch.equal(value, best["current_model_state"][f"codec.{key}"]) for key, value in exported.items())

    # The last validation and the diagnostics, again by hand with the averages.
    import numpy as np

    from hpcm_spectral.data import FolderDataModule
    from hpcm_spectral.losses import RateDistortionLoss
    from hpcm_spectral.models import HPCM_Tiny

    last = checkpoint(folder)
    val_dir = next(word for word in shorter if word.startswith("data.val_dir")).split("=")[1]
    image = next(iter(FolderDataModule(train_dir=val_dir, val_dir=val_dir, num_workers=0).val_dataloader()))
    losses, errors = [], []
    for state in ("state_dict", "current_model_state"):
        codec = HPCM_Tiny().eval()
        codec.load_state_dict({k[6:]: v for k, v in last[state].items() if k.startswith("codec.")})
        with torch.no_grad():
            out = codec(image)
            middle = image[..., 7:263, 22:278]
            errors.append((codec(middle)["x_hat"] - middle).double().square().mean().item())
        losses.append(RateDistortionLoss(0.013)(out["x_hat"], out["likelihoods"], image).loss.item())
    assert column(folder, "val/loss")[-1] == pytest.approx(losses[0], rel=1e-6)
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)
    with np.load(folder / "diagnostics/spectral.npz") as found:
        assert found["mse"][-1, -1] == pytest.approx(errors[0], rel=1e-5)
    assert errors[0] != pytest.approx(errors[1], rel=1e-4)


def test_a_run_that_is_stopped_early_is_finished_and_says_so(
    run_train: Callable[..., int], shorter: list[str], tmp_path: Path
) -> None:
    stopping = ["callbacks=[early_stopping,lr_monitor]", "callbacks.early_stopping.patience=1", "phase2=inter_scale"]
    stopping += ["callbacks.early_stopping.min_delta=1e9", "trainer.max_epochs=5", "phase2.start_epoch=0"]
    assert run_train(*shorter, *stopping, f"hydra.run.dir={tmp_path / 'run'}") == 0
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["state"], summary["epochs"]) == ("finished", 2)
    assert "val/loss did not improve" in summary["stopped"]
    assert "stopped early: Monitored metric val/loss did not improve" in (tmp_path / "run/train.log").read_text()
    assert column(tmp_path / "run", "lr-Adam/pg2") == pytest.approx([1e-3, 1e-3])


def test_loggers_write_into_the_run_folder_and_words_reach_only_those_that_take_them(
    run_train: Callable[..., int], shorter: list[str], tmp_path: Path
) -> None:
    loggers = ["logger=[wandb,tensorboard]", "+logger.mine._target_=own_classes.Numbers", "trainer.max_epochs=1"]
    kept = [word for word in shorter if not word.startswith("logger")]
    folder = tmp_path / "run"
    assert run_train(*kept, *loggers, f"hydra.run.dir={folder}") == 0
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert events.Scalars("train/loss")[0].value == pytest.approx(column(folder, "train/loss")[0])
    assert {"spectral/tau", "val/loss"} <= set(events.Tags()["scalars"])
    assert "spectral/tau=0.05" in (folder / "numbers.txt").read_text()
    assert list(folder.glob("wandb/offline-run-*"))


def test_any_number_of_own_stages_acts_after_the_phases_and_is_recorded(
    run_train: Callable[..., int], shorter: list[str], tmp_path: Path
) -> None:
    options = tmp_path / "mine/stages"
    options.mkdir(parents=True)
    (options / "sparse.yaml").write_text("sparse:\n  _target_: own_classes.Sparsity\n  weight: 0.5\n  end_epoch: 1\n")
    stages = ["--config-dir", str(tmp_path / "mine"), "stages=sparse", "+stages.late._target_=own_classes.Sparsity"]
    folder = tmp_path / "run"
    assert run_train(*stages, *shorter, f"hydra.run.dir={folder}", "trainer.max_epochs=2") == 0
    with (folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [row["spectral/phase"] for row in rows] == ["phase1_intra+sparsity+sparsity", "sparsity"]
    last = rows[1]
    added = float(last["train/loss"]) - float(last["train/rd_loss"])
    assert added == pytest.approx(float(last["spectral/sparsity"]), rel=1e-3)
    assert added > 0

    def recorded() -> list[tuple]:
        phases = json.loads((folder / "phases.json").read_text())["phases"]
        return [(p["key"], p["start"], p["end"], p["began"], p["ended"]) for p in phases]

    expected = [("phase1", 0, 1, 0, 1), ("stages.sparse", 0, 1, 0, 1), ("stages.late", 0, None, 0, None)]
    assert recorded() == expected
    assert run_train(f"resume={folder}", "trainer.max_epochs=3", *stages[:2]) == 0
    assert recorded() == expected


WRONG = {
    "+stages.mine._target_=own_classes.Odd": "stages.mine must describe itself by plain values, but: Object",
    "callbacks=ema callbacks.ema.decay=1.5": "callbacks.ema.decay must be a number within [0, 1), got 1.5.",
    "callbacks=ema callbacks.ema.dekay=0.9": "callbacks.ema.dekay is not a setting",
    "callbacks=ema +callbacks.ema.dekay=0.9": "callbacks.ema.dekay is not a setting; did you mean callbacks.ema.decay?",
    "callbacks=early_stopping callbacks.early_stopping.mode=least": "callbacks.early_stopping cannot be built: ",
    "callbacks=early_stopping callbacks.early_stopping.monitor=val/los": "callbacks.early_stopping.monitor must name",
    "+callbacks.mine=3": "callbacks.mine must be a group of settings with a _target_, got 3; name it as in",
    "+callbacks.mine._target_=torch.nn.ReLU": "callbacks.mine._target_ must name a Callback, got ReLU.",
    "logger=tensorboard logger.tensorboard.name=3": "logger.tensorboard.name must be text, got 3.",
    "+logger.mine._target_=nowhere.Logger": "logger.mine._target_ must name a class that can be imported",
    "optimizer.betas=[0.9]": "optimizer.betas",
    "optimizer.betas=[2,0.9]": "optimizer cannot be built: Invalid beta parameter at index 0: 2.",
    "+optimizer.weight_dekay=1": "optimizer.weight_dekay is not a setting; did you mean optimizer.weight_decay?",
    "+optimizer.params=1": "optimizer.params is not a setting",
    "lr_scheduler=warmup_cosine lr_scheduler.warmup=2": "lr_scheduler.warmup must be a share of the training within",
    "lr_scheduler=plateau lr_scheduler.monitor=null": "lr_scheduler.monitor must name a metric for this schedule",
    "lr_scheduler=plateau lr_scheduler.interval=step": "lr_scheduler.interval must be epoch for a schedule that",
    "lr_scheduler.interval=hour": "lr_scheduler.interval must be epoch or step, got 'hour'.",
    "lr_scheduler=plateau lr_scheduler.factor=2": "lr_scheduler cannot be built: Factor should be < 1.0",
    "+stages.mine._target_=own_classes.Sparsity +stages.mine.weight=x": "stages.mine.weight must be a number, got 'x'.",
    "+stages.mine._target_=own_classes.Sparsity +stages.mine.end_epoch=0": "stages.mine.end_epoch must lie above",
}


@pytest.mark.parametrize(("overrides", "sentence"), WRONG.items())
def test_wrong_settings_of_what_is_brought_end_with_one_sentence(
    overrides: str,
    sentence: str,
    run_train: Callable[..., int],
    shorter: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    given = overrides.split(" ")
    kept = [word for word in shorter if word.split("=")[0] not in [o.split("=")[0] for o in given]]
    assert run_train(*kept, *given, f"hydra.run.dir={tmp_path / 'run'}") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert sentence in line
    assert not (tmp_path / "run").exists()
