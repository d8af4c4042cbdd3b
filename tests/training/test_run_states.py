"""What a run folder says of its run, and what is kept of the work: moved folders, failing pictures, refused starts."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

OWN = """
import os, signal
import compressai
from compressai.models import ScaleHyperprior
from lightning.pytorch.callbacks import Callback
from torch import nn

class Block(Callback):
    \"\"\"Puts a file where the pictures belong.\"\"\"
    def on_fit_end(self, trainer, module):
        open(os.path.join(trainer.default_root_dir, "samples"), "w").close()

class Leave(Callback):
    def on_train_end(self, trainer, module):
        os.kill(os.getpid(), signal.SIGTERM)

class Tied(ScaleHyperprior):
    def __init__(self, N: int, M: int):
        super().__init__(N, M)
        self.g_s[2] = self.g_s[4]

class Changing(ScaleHyperprior):
    count = 0
    def __init__(self, N: int, M: int):
        Changing.count += 1
        super().__init__(N + Changing.count, M)

class Noted(ScaleHyperprior):
    def get_extra_state(self):
        return {"a": 1}
    def set_extra_state(self, state):
        pass
"""


@pytest.fixture(autouse=True)
def state_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state_classes.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def summary(folder: Path) -> dict[str, object]:
    return json.loads((folder / "summary.json").read_text())


def test_the_best_of_a_run_stays_the_best_where_its_folder_has_moved(
    run_train: Callable[..., int], short_run: list[str], tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    # A user's own checkpoints follow, too.
    own = ["+callbacks.mine._target_=lightning.pytorch.callbacks.ModelCheckpoint", "+callbacks.mine.monitor=val/psnr"]
    own += ["+callbacks.mine.mode=max", f"+callbacks.mine.dirpath={first}/mine", "+callbacks.mine.filename=mine"]
    assert run_train(*short_run, *own, f"hydra.run.dir={first}") == 0
    first.rename(second)
    names = ("codec.safetensors", "checkpoints/best.ckpt", "mine/mine.ckpt")
    before = [(second / name).read_bytes() for name in names]
    best = summary(second)["best_val_loss"]
    moved = f"+callbacks.mine.dirpath={second}/mine"
    assert run_train(f"resume={second}", moved, "trainer.max_epochs=4", "optimizer.lr=1.0") == 0
    assert [(second / name).read_bytes() for name in names] == before
    assert (summary(second)["best_val_loss"], summary(second)["best_epoch"], summary(second)["epochs"]) == (best, 3, 4)
    assert not first.exists()


def test_pictures_that_fail_do_not_spoil_a_run_and_a_resume_draws_them(
    run_train: Callable[..., int], short_run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run_train(*short_run, "+callbacks.block._target_=state_classes.Block", f"hydra.run.dir={folder}") == 0
    assert (summary(folder)["state"], summary(folder)["pictures"]) == ("finished", False)
    assert "no pictures" in capsys.readouterr().err
    codec = (folder / "codec.safetensors").read_bytes()
    (folder / "samples").unlink()
    assert run_train(f"resume={folder}") == 0
    assert (summary(folder)["state"], summary(folder)["pictures"]) == ("finished", True)
    assert (folder / "reconstructions.png").exists()
    assert (folder / "codec.safetensors").read_bytes() == codec


def test_a_job_told_to_leave_as_its_training_ends_is_finished_and_gets_its_pictures_next_time(
    run_train: Callable[..., int], short_run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", *short_run, "+callbacks.leave._target_=state_classes.Leave", f"hydra.sweep.dir={tmp_path}/sweep"]
    assert run_train(*words, "seed=1") == 128 + signal.SIGTERM
    folder = tmp_path / "sweep/job"
    assert (summary(folder)["state"], summary(folder)["pictures"]) == ("finished", False)
    assert not (folder / "curves.png").exists()
    assert run_train(*words, "seed=1") == 0
    assert (folder / "curves.png").exists()
    assert run_train(*words, "seed=1") == 0
    assert "skipped" in capsys.readouterr().out


def test_tied_weights_are_exported(run_train: Callable[..., int], short_run: list[str], tmp_path: Path) -> None:
    from hpcm_spectral.models import load_codec

    folder = tmp_path / "run"
    words = [*short_run, "model._target_=state_classes.Tied", "trainer.max_epochs=1"]
    assert run_train(*words, f"hydra.run.dir={folder}") == 0
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    loaded = load_codec(folder, ["state_classes.Tied"]).state_dict()
    keys = [key for key in loaded if "g_s" in key]
    assert keys
    assert all(torch.equal(loaded[key], best[f"codec.{key}"]) for key in keys)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model._target_=state_classes.Changing"], "build again"),
        (["model._target_=state_classes.Noted"], "tensors only"),
        (["trainer.limit_val_batches=0.1"], "limit_val_batches"),
        (["+trainer.val_check_interval=10"], "val_check_interval"),
        (["trainer.precision=16-true"], "precision"),
        (["trainer.precision=16-mixed"], "bf16-mixed"),
        (["+trainer.max_time=00:00:00:00"], "max_time"),
        (["+trainer.max_steps=0"], "max_steps"),
        (["+callbacks.mine._target_=lightning.pytorch.callbacks.BatchSizeFinder"], "callbacks.mine"),
    ],
)
def test_what_would_break_later_is_refused_and_nothing_is_left(
    overrides: list[str],
    said: str,
    run_train: Callable[..., int],
    short_run: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_train(*short_run, *overrides, f"hydra.run.dir={tmp_path}/run") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID"])
def test_one_of_several_processes_does_not_train_alone_in_silence(
    name: str,
    run_train: Callable[..., int],
    short_run: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, "1")
    assert run_train(*short_run, f"hydra.run.dir={tmp_path}/run") == 2
    assert f"{name}=1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_images_may_move_but_not_change(
    run_train: Callable[..., int],
    short_run: list[str],
    image_folders: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, folder = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    for path in image_folders[0].iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("IMAGES", str(data))
    words = [word for word in short_run if "train_dir" not in word]
    assert run_train(*words, "data.train_dir=${oc.env:IMAGES}", "trainer.max_epochs=1", f"hydra.run.dir={folder}") == 0
    moved = data.rename(tmp_path / "moved")
    monkeypatch.setenv("IMAGES", str(moved))
    assert run_train(f"resume={folder}", "trainer.max_epochs=2") == 0
    assert summary(folder)["epochs"] == 2
    (tmp_path / "again").symlink_to(moved)
    assert run_train(f"resume={folder}", "trainer.max_epochs=3", f"data.train_dir={tmp_path}/again") == 0
    Image.new("RGB", (300, 270)).save(moved / "more.png")
    before = (folder / "summary.json").read_bytes()
    assert run_train(f"resume={folder}", "trainer.max_epochs=4") == 2
    assert "5 instead of 4" in capsys.readouterr().err
    assert (folder / "summary.json").read_bytes() == before


def test_wandb_without_a_key_is_refused_and_nothing_is_left(short_run: list[str], tmp_path: Path) -> None:
    # In a process of its own, as W&B remembers how it was used before.
    script = Path(__file__).parents[2] / "scripts/train.py"
    env = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    done = subprocess.run(
        [
            *(sys.executable, str(script), *short_run),
            *("logger=wandb", "logger.wandb.offline=false", f"hydra.run.dir={tmp_path}/run"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**env, "NETRC": str(tmp_path / "netrc"), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 2
    assert "wandb login" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()
