"""Everything that a user can get wrong ends with one sentence and status 2, and leaves nothing behind."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

WRONG_VALUES = {
    "data.batch_size=four": "data.batch_size must be a whole number, got 'four'.",
    "data.batch_size=2.5": "data.batch_size must be a whole number, got 2.5.",
    "data.batch_size=true": "data.batch_size must be a whole number, got true.",
    "data.batch_size=0": "data.batch_size must be at least 1, got 0; raise it.",
    "data.crop_size=300": "data.crop_size must be a positive multiple of 256, got 300; choose 256 or 512.",
    "data.samples_per_epoch=0": "data.samples_per_epoch must be at least batch_size (1), got 0",
    "data.small_images=stretch": "data.small_images must be reflect or skip, got 'stretch'.",
    "data.max_megapixels=0": "data.max_megapixels must be at least 1, got 0; raise it.",
    "data.num_workers=-1": "data.num_workers must be at least 0, got -1; raise it.",
    "schedule.tau_init=1.5": "schedule.tau_init must not exceed tau_final (1.0), got 1.5; the band only opens.",
    "schedule.tau_init=0": "schedule.tau_init must lie above 0 and at most at 2, got 0.",
    "schedule.tau_init=nan": "schedule.tau_init must lie above 0 and at most at 2, got nan.",
    "schedule.tau_final=-1": "schedule.tau_final must lie above 0 and at most at 2, got -1.",
    "schedule.num_epochs=0": "schedule.num_epochs must be at least 1, got 0; phase1=off trains without phase 1.",
    "schedule.granularity=batch": "schedule.granularity must be epoch or step, got 'batch'.",
    "phase1.mask=round": "phase1.mask must be soft, hard or soft_identity, got 'round'.",
    "loss.lmbda=-1": "loss.lmbda must be a number above 0, got -1.",
    "loss.lmbda=abc": "loss.lmbda must be a number, got 'abc'.",
    "optimizer.lr=0": "optimizer.lr must be a number above 0, got 0.",
    "lr_scheduler.milestones=[0.5,0.4]": "lr_scheduler.milestones must be rising shares of max_epochs within (0, 1]",
    "trainer.max_epochs=0": "trainer.max_epochs must be a whole number from 1 to 10^9, got 0.",
    "trainer.precision=17": "trainer.precision must be ",
    "model.widths=[1,2]": "model.widths must hold 3 numbers, got 2: [1, 2].",
    "model.latent_channels=50": "model.latent_channels must be a positive multiple of 40, got 50.",
    "compile=indcutor": "compile must be null, true (inductor) or one of ",
    "seed=-1": "seed must lie between 0 and 2^32 - 1, got -1.",
    "seed=4294967296": "seed must lie between 0 and 2^32 - 1, got 4294967296.",
    "trainer.gradient_clip_val=nan": "trainer.gradient_clip_val must be a number from 0 on, got nan",
    "trainer.accelerator=abacus": "trainer",
    "trainer.devices=-5": "trainer",
    "data.num_workers=100000": "data.num_workers must be at most",
    "data.val_dir=": "data.val_dir must name a folder, got nothing; . is the current one.",
    "resume=true": "resume must be text, got true.",
    "seed=null": "seed must be a whole number, got null.",
    "phase1._target_=nowhere.Stage": "phase1._target_ must name a class that can be imported, got nowhere.Stage: "
    "No module named 'nowhere'; check it and PYTHONPATH.",
    "loss._target_=torch.nn.ReLU": "loss.metric is not a setting",
    "data.train_dir=/does/not/exist": "/does/not/exist",
    "resume=/does/not/exist": "resume must name a run folder with a checkpoint, or a checkpoint",
}
UNKNOWN = {
    "phase2.delta=0.2": "phase2.delta is not a setting while phase2 is off; choose phase2=inter_scale.",
    "phase2._target_=a.B": "phase2._target_ is not a setting while phase2 is off; add it with +phase2._target_=VALUE.",
    "+loss.lmbda=0.1": "loss.lmbda is a setting already, got it with a +; leave out the +.",
    "~resume": "resume cannot be deleted, got it with a ~; set it to another value.",
    "data.bath_size=4": "data.bath_size is not a setting; did you mean data.batch_size?",
    "+data.bath_size=4": "data.bath_size is not a setting; did you mean data.batch_size?",
    "+spectral.tau=0.1": "spectral is not a setting; known are",
    "model=hpcm_huge": "hpcm_base, hpcm_base_phi, hpcm_large, hpcm_tiny, got hpcm_huge",
    "schedule=linaer": "got linaer; did you mean linear?",
    "diagnostics.images=3": "diagnostics.images is not a setting while diagnostics is off; choose diagnostics=",
    "experiment=phase3": "full, phase1, phase2, quickstart, tau_search, tau_sweep, got phase3",
    "experiment=null": "experiment must name an option of its group, got null",
    "schedule.tau_init=0.1,0.2": "schedule.tau_init lists several values, which needs --multirun (-m)",
    "loss.lmbda": "An override must read key=value, got 'loss.lmbda'",
}


PHASE_2 = {
    "phase2.delta=-1": "phase2.delta must be a number from 0 to 1e+06, got -1.",
    "phase2.delta=much": "phase2.delta must be a number, got 'much'.",
    "phase2.wavelet=haarr": "phase2.wavelet must be one of PyWavelets' discrete ones, such as haar or db2, got 'haarr'",
    "phase2.pairs=[3]": "phase2.pairs must lie between 1 and 2 for this codec, got 3.",
    "phase2.pairs=1": "phase2.pairs must be a list, got 1.",
    "phase2.downsample=pool": "phase2.downsample must be dwt, strided_conv or average, got 'pool'.",
    "phase2.aligner=adverserial": "phase2.aligner must be adversarial, joint or frozen, got 'adverserial'.",
    "phase2.end_epoch=1": "phase2.end_epoch must lie above start_epoch (1), got 1.",
    "phase2.lr=0": "phase2.lr must be a number above 0, or null for the codec's, got 0.",
    "phase2.detla=1": "phase2.detla is not a setting; did you mean phase2.delta?",
}

DIAGNOSTICS = {
    "diagnostics.every_n_epochs=0": "diagnostics.every_n_epochs must be at least 1, got 0.",
    "diagnostics.images=0": "diagnostics.images must be at least 1, got 0.",
    "diagnostics.images=two": "diagnostics.images must be a whole number, got 'two'.",
    "diagnostics.bands=0": "diagnostics.bands must be at least 1, got 0.",
    "diagnostics.max_side=100": "diagnostics.max_side must be a positive multiple of 64, got 100.",
    "diagnostics.max_side=-64": "diagnostics.max_side must be a positive multiple of 64, got -64.",
    "diagnostics.image=3": "diagnostics.image is not a setting; did you mean diagnostics.images?",
    "+diagnostics.folder=a": "diagnostics.folder is not a setting",
    "diagnostics._target_=lightning.pytorch.callbacks.Timer": "diagnostics.every_n_epochs is not a setting",
}


def assert_refused(
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    arguments: list[str],
    sentence: str,
) -> None:
    capsys.readouterr()
    assert run(*arguments, f"hydra.run.dir={folder}") == 2
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert sentence in line
    assert "Traceback" not in err
    assert "Error executing job" not in err
    assert not folder.exists()


OF_GROUPS = {"": WRONG_VALUES | UNKNOWN, "phase2=inter_scale": PHASE_2, "diagnostics=spectral": DIAGNOSTICS}


@pytest.mark.parametrize(
    ("group", "override", "sentence"),
    [(group, *case) for group, cases in OF_GROUPS.items() for case in cases.items()],
)
def test_a_wrong_setting_ends_with_one_sentence(
    group: str,
    override: str,
    sentence: str,
    run_train: Callable[..., int],
    small_run: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    key = override.split("=")[0]
    kept = [word for word in small_run if word.split("=")[0] != key]
    chosen = [group] if group else []
    assert_refused(run_train, capsys, tmp_path / "run", [*kept, *chosen, override], sentence)


def test_a_missing_folder_setting_is_asked_for(
    run_train: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["data=folder", "logger=csv"]
    assert_refused(run_train, capsys, tmp_path / "run", arguments, "data.train_dir is required, got nothing")


def test_an_empty_folder_is_named(
    run_train: Callable[..., int], small_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    kept = [word for word in small_run if not word.startswith("data.train_dir")]
    assert_refused(run_train, capsys, tmp_path / "run", [*kept, f"data.train_dir={empty}"], str(empty))


def test_a_damaged_checkpoint_is_named_and_the_run_it_belongs_to_is_kept(
    run_train: Callable[..., int], small_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints/last.ckpt").write_bytes(b"not a checkpoint")
    assert run_train(*small_run, "resume=auto", f"hydra.run.dir={folder}") == 2
    assert "last.ckpt" in capsys.readouterr().err
    assert (folder / "checkpoints/last.ckpt").read_bytes() == b"not a checkpoint"


def test_a_folder_that_holds_a_run_is_not_overwritten(
    run_train: Callable[..., int], small_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("model: {a: 1}\n")
    assert run_train(*small_run, f"hydra.run.dir={folder}") == 2
    assert "already holds a run" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]


def test_the_program_itself_exits_with_status_2_from_any_working_directory(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "scripts/train.py"
    done = subprocess.run(
        [sys.executable, str(script), "schedule.tau_init=7"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == ["error: schedule.tau_init must lie above 0 and at most at 2, got 7."]
    assert list(tmp_path.rglob("*.*")) == []


def test_a_refused_run_keeps_what_lay_in_its_folder(
    run_train: Callable[..., int], small_run: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.log").write_text("precious")
    assert run_train(*small_run, "loss.lmbda=-1", f"hydra.run.dir={folder}") == 2
    assert (folder / "train.log").read_text() == "precious"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_run_folder_that_cannot_be_made_is_named(
    place: str, run_train: Callable[..., int], small_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert run_train(*small_run, f"hydra.run.dir={tmp_path / place}") == 2
    err = capsys.readouterr().err
    assert f"{tmp_path / 'file'}" in err
    assert "Traceback" not in err
