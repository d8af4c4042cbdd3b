"""Trainings that end before their last epoch: what they leave, and that they go on as if they had never ended."""

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpcm_spectral.data.loader import STOP_SIGNALS

SENDER = """
import multiprocessing
import os
from lightning.pytorch.callbacks import Callback

class Send(Callback):
    \"\"\"Sends this process a signal in the middle of a step.\"\"\"

    def __init__(self, number: int, step: int, after: str = "on_before_backward") -> None:
        self.number, self.step = number, step
        setattr(self, after, self.send)

    def send(self, trainer, *args, **kwargs):
        if trainer.global_step == self.step and not trainer.sanity_checking:
            # As a scheduler does, to all of them; what W&B has left of an earlier test is not of this training.
            for process in multiprocessing.active_children():
                os.kill(process.pid, self.number)
            os.kill(os.getpid(), self.number)

class Leave(Callback):
    \"\"\"Asks Lightning to end the training.\"\"\"

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *args, **kwargs):
        trainer.should_stop = trainer.global_step == self.step
"""


@pytest.fixture(autouse=True)
def own_callbacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_callbacks.py").write_text(SENDER)
    monkeypatch.syspath_prepend(tmp_path)


def logged(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary(folder: Path) -> dict[str, object]:
    return json.loads((folder / "summary.json").read_text())


def checkpoint(folder: Path, name: str = "last") -> dict[str, dict[str, torch.Tensor]]:
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)


def assert_equal_runs(one: Path, other: Path) -> None:
    assert logged(one) == logged(other)
    for name in ("last", "best"):
        ours, theirs = (checkpoint(folder, name)["state_dict"] for folder in (one, other))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name
    assert (one / "codec.safetensors").read_bytes() == (other / "codec.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("stops", "options"),
    [
        (["trainer.max_steps=7", "trainer.max_steps=10", "trainer.max_steps=-1"], ["phase1=dct_truncation"]),
        (
            ["trainer.max_steps=4", "trainer.max_steps=12", "trainer.max_steps=-1"],
            ["+trainer.val_check_interval=2", "lr_scheduler=warmup_cosine"],
        ),
        (
            ["trainer.max_steps=2", "trainer.max_steps=-1"],
            ["trainer.accumulate_grad_batches=2", "data.num_workers=1", "lr_scheduler=plateau"],
        ),
    ],
)
def test_a_limit_of_steps_ends_within_an_epoch_and_the_rest_follows(
    stops: list[str], options: list[str], run_train: Callable[..., int], short_run: list[str], tmp_path: Path
) -> None:
    straight, folder = tmp_path / "straight", tmp_path / "stopped"
    options = [*options, *(["schedule.num_epochs=2"] if "phase1=dct_truncation" in options else [])]
    common = [word for word in [*short_run, *options] if word != "phase1=off" or "phase1=dct_truncation" not in options]
    assert run_train(*common, f"hydra.run.dir={straight}") == 0
    words = [*common, f"hydra.run.dir={folder}", "resume=auto"]
    for limit in stops:
        assert run_train(*words, f"+{limit}") == 0
        steps = int(limit.partition("=")[2])
        if steps > 0:
            assert (summary(folder)["state"], summary(folder)["steps"]) == ("stopped", steps)
            assert all((folder / name).exists() for name in ("codec.safetensors", "curves.png"))
            before = (folder / "checkpoints/last.ckpt").read_bytes()
            assert run_train(f"resume={folder}") == 0  # nothing is left to do, and nothing is lost
            assert (folder / "checkpoints/last.ckpt").read_bytes() == before
    assert summary(folder)["state"] == "finished"
    assert_equal_runs(folder, straight)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run lies that nothing has stopped."""
    return tmp_path_factory.mktemp("runs") / "straight"


@pytest.fixture
def straight_run(straight: Path, run_train: Callable[..., int], short_run: list[str]) -> Path:
    if not straight.exists():
        assert run_train(*short_run, f"hydra.run.dir={straight}") == 0
    return straight


@pytest.mark.parametrize(
    ("step", "hook", "kept"),
    [(6, "on_before_backward", 7), (5, "on_validation_start", 5), (7, "on_train_batch_end", 7)],
)
def test_a_signal_ends_the_training_after_the_step(
    step: int,
    hook: str,
    kept: int,
    run_train: Callable[..., int],
    short_run: list[str],
    straight_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    words = [
        *short_run,
        "data.num_workers=1",
        "+callbacks.send._target_=own_callbacks.Send",
        f"+callbacks.send.after={hook}",
    ]
    number = STOP_SIGNALS[step % len(STOP_SIGNALS)]
    if number != signal.SIGINT:  # where Lightning has ways of its own
        for key in ("NTASKS", "NTASKS_PER_NODE", "JOB_ID", "PROCID", "LOCALID", "NODEID"):
            monkeypatch.setenv(f"SLURM_{key}", "1" if "TASKS" in key else "0")
    assert (
        run_train(*words, f"+callbacks.send={{number:{int(number)},step:{step}}}", f"hydra.run.dir={folder}")
        == 128 + number
    )
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    assert summary(folder)["state"] == "interrupted"
    assert (checkpoint(folder)["global_step"], len([row for row in logged(folder) if row["train/loss"]])) == (
        kept,
        kept,
    )
    assert run_train(*words, f"hydra.run.dir={folder}", "resume=auto", "+callbacks.send={number:0,step:-1}") == 0
    assert not list(folder.glob("*.ckpt"))
    assert_equal_runs(folder, straight_run)


def test_time_that_is_up_stops_a_run_each_session_anew(
    run_train: Callable[..., int], short_run: list[str], straight_run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert run_train(*short_run, "+trainer.max_time=00:00:00:00", f"hydra.run.dir={folder}") == 2
    leave = ["+callbacks.leave._target_=own_callbacks.Leave", "+callbacks.leave.step=3"]
    assert run_train(*short_run, *leave, "+trainer.max_time={microseconds: 1}", f"hydra.run.dir={folder}") == 0
    assert (summary(folder)["state"], summary(folder)["steps"]) == ("stopped", 1)
    assert run_train(f"resume={folder}") == 0
    assert (summary(folder)["state"], summary(folder)["steps"]) == ("stopped", 2)
    assert run_train(f"resume={folder}", "+trainer.max_time=null") == 0
    assert (summary(folder)["state"], summary(folder)["steps"]) == ("stopped", 3)
    assert run_train(f"resume={folder}", "+trainer.max_time=null") == 0
    assert summary(folder)["state"] == "finished"
    assert_equal_runs(folder, straight_run)
