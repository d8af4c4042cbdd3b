"""Sweeps: folders named by what is swept, runs that exist, failures that do not stop the others, the closing table."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from hydra.core.override_parser.overrides_parser import OverridesParser
from sweep_output import SCRIPT, rows_of

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.runs.folder import hold
from hpcm_spectral.sweeps.names import MAX_LENGTH, job_folder, sweep_names

Run = Callable[..., int]


@pytest.fixture
def sweep(small_run: list[str], tmp_path: Path) -> list[str]:
    """A sweep in ``tmp_path``; what is swept is left to the test."""
    return ["-m", *small_run, "trainer.max_epochs=1", "data.samples_per_epoch=1", f"hydra.sweep.dir={tmp_path / 's'}"]


def names_of(*words: str, named: bool = False) -> list[str]:
    return sweep_names(OverridesParser.create().parse_overrides(list(words)), named=named)


class TestNames:
    def test_are_readable_where_they_can_be(self) -> None:
        assert job_folder("schedule.tau_init=0.05,schedule=linear") == "schedule.tau_init=0.05,schedule=linear"
        assert job_folder("") == "job"

    @pytest.mark.parametrize(
        "overrides",
        ["data.train_dir=/a/b", "optimizer.milestones=[0.5,0.9]", "logger.name='a b'", "x=" + "9" * 300, "."],
    )
    def test_are_safe_short_and_the_same_every_time(self, overrides: str) -> None:
        name = job_folder(overrides)
        assert name == job_folder(overrides)
        assert len(name) <= MAX_LENGTH
        assert not set(name) & set("/\\ '\"[]{}$*?:;&|<>\n")
        assert not name.startswith(".")

    def test_differ_where_only_replaced_characters_or_the_cut_end_do(self) -> None:
        names = {job_folder(text) for text in ("a=/x", "a=_x", "a=[x", "b=" + "1" * 200, "b=" + "1" * 199 + "2")}
        assert len(names) == 5

    def test_leave_out_what_all_jobs_share_and_name_the_sweep_the_same_for_the_same_command(self) -> None:
        command = ["model=hpcm_tiny", "schedule=linear,cosine", "resume=auto"]
        once, again = (names_of(*command) for _ in range(2))
        assert once == again
        exclude, name = once
        assert "'model'" in exclude
        assert "'schedule'" not in exclude
        assert name.startswith("sweep.name=schedule-")
        assert names_of(*command, "seed=1")[-1] != name
        # Going on is not another sweep.
        assert names_of(*command[:-1])[-1] == name

    def test_count_the_last_of_a_key_that_is_given_twice(self) -> None:
        exclude = names_of("seed=3", "seed=1,2")[0]
        assert "'seed'" not in exclude

    def test_follow_an_experiment_and_leave_a_name_of_ones_own_alone(self) -> None:
        assert names_of("experiment=tau_sweep")[-1].startswith("sweep.name=tau_sweep-")
        (only,) = names_of("sweep.name=mine", named=True)
        assert only.startswith("hydra.job.config.override_dirname.exclude_keys=[")


def test_a_failing_job_does_not_stop_the_others_and_a_rerun_repeats_only_it(
    sweep: list[str], run_train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*sweep, "schedule.tau_init=0.1,1.5,0.2"]
    assert run_train(*command) == 1

    printed = capsys.readouterr()
    rows = rows_of(printed.out)
    good, bad = "schedule.tau_init=0.1", "schedule.tau_init=1.5"
    assert [rows[good][0], rows[bad][0], rows["schedule.tau_init=0.2"][0]] == ["finished", "failed", "finished"]
    assert rows[good][1] == "1"
    summary = json.loads((tmp_path / "s" / good / "summary.json").read_text())
    assert rows[good][2] == f"{summary['best_val_loss']:.4f}"
    assert "3 jobs, 1 of them not done" in printed.out
    reason = "schedule.tau_init must not exceed tau_final (1.0), got 1.5"
    assert reason in (tmp_path / "s" / bad / "train.log").read_text()
    assert json.loads((tmp_path / "s" / bad / "summary.json").read_text())["state"] == "failed"
    assert "Traceback" not in printed.err

    weights = tmp_path / "s" / good / "codec.safetensors"
    before = weights.stat().st_mtime_ns
    assert run_train(*command) == 1
    rows = rows_of(capsys.readouterr().out)
    assert [cells[0] for cells in rows.values()] == ["skipped", "failed", "skipped"]
    assert weights.stat().st_mtime_ns == before


def test_another_config_in_a_jobs_folder_is_refused_by_the_difference_and_restart_keeps_the_old_run(
    sweep: list[str], run_train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "s" / "schedule=linear"
    assert run_train(*sweep, "schedule=choice(linear)") == 0
    log = (job / "train.log").read_text()
    capsys.readouterr()

    assert run_train(*sweep, "schedule=choice(linear)", "optimizer.lr=0.5") == 1
    out = capsys.readouterr().out
    assert rows_of(out)["schedule=linear"][0] == "refused"
    assert "optimizer.lr must stay 0.0001" in out
    assert "got 0.5" in out
    assert (job / "train.log").read_text() == log
    assert json.loads((job / "summary.json").read_text())["state"] == "finished"

    assert run_train(*sweep, "schedule=choice(linear)", "optimizer.lr=0.5", "sweep.on_existing=restart") == 0
    assert "lr: 0.5" in (job / "config.yaml").read_text()
    assert "lr: 0.0001" in (tmp_path / "s/.replaced/schedule=linear.1/config.yaml").read_text()


def test_skip_leaves_a_failed_run_as_it_is(
    sweep: list[str], run_train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*sweep, "seed=choice(1)") == 0
    path = tmp_path / "s/seed=1/summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": "failed"}))
    before = path.read_text()
    assert run_train(*sweep, "seed=choice(1)", "sweep.on_existing=skip") == 0
    assert "failed, left as it is (sweep.on_existing=skip)" in capsys.readouterr().out
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("resume=/nowhere", "resume must be left out of a sweep, got /nowhere"),
        ("sweep.on_existing=keep", "sweep.on_existing must be skip, resume or restart, got 'keep'"),
        ("sweep.trial=x", "sweep.trial must be a whole number"),
    ],
)
def test_settings_that_do_not_fit_a_sweep(
    override: str, sentence: str, sweep: list[str], run_train: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(*sweep, "seed=choice(1)", override) == 1
    assert sentence in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["optimizer.lr=interval(1e-4,1e-3)"], "A sweep must list its values, got an interval"),
        (["hydra/sweeper=optuna"], "hydra.sweeper.params must name what to search, got nothing"),
        (["seed=1,2", "sweep.nmae=x"], "sweep.nmae is not a setting; did you mean sweep.name?"),
        (["seed=1,2", "hydra.sweep.dir=/proc/nowhere"], "/proc/nowhere cannot be used"),
    ],
)
def test_a_sweep_that_cannot_begin_ends_with_one_sentence_and_leaves_no_folder(
    overrides: list[str],
    sentence: str,
    sweep: list[str],
    run_train: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_train(*sweep, *overrides) == 2
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert sentence in line
    assert not (tmp_path / "s").exists()


def test_two_sweeps_do_not_share_a_folder(
    sweep: list[str], run_train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s").mkdir()
    with FileLock(tmp_path / "s/.lock"):
        assert run_train(*sweep, "seed=1,2") == 2
    assert "another process is at work" in capsys.readouterr().err
    assert not (tmp_path / "s/seed=1").exists()


def test_two_processes_do_not_share_a_run_folder(
    small_run: list[str], sweep: list[str], run_train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import sys; from hpcm_spectral.runs.folder import hold\nfrom pathlib import Path\n"
    code += "with hold(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    folder = tmp_path / "s" / "seed=1"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(ConfigError, match="another process is at work"), hold(folder):
            pass
        assert run_train(*sweep, "seed=choice(1)") == 1
        assert "another process is at work" in capsys.readouterr().out
        assert run_train(*small_run, f"hydra.run.dir={folder}") == 2
        assert list(folder.iterdir()) == [folder / ".lock"]
    finally:
        holder.kill()
        holder.wait()
    with hold(folder):
        pass


def test_a_killed_sweep_goes_on_where_it_was(
    small_run: list[str], run_train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-m", *small_run, "trainer.max_epochs=3", f"hydra.sweep.dir={tmp_path / 's'}", "seed=1,2,3"]
    first, second = tmp_path / "s/seed=1", tmp_path / "s/seed=2"
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not (second / "checkpoints/last.ckpt").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert json.loads((second / "summary.json").read_text())["state"] == "running"
    codec = (first / "codec.safetensors").stat().st_mtime_ns

    assert run_train(*command) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [cells[:2] for cells in rows.values()] == [["skipped", "3"], ["finished", "3"], ["finished", "3"]]
    assert (first / "codec.safetensors").stat().st_mtime_ns == codec
    assert "continuing from" in (second / "train.log").read_text()
    sessions = [len(json.loads((f / "provenance.json").read_text())["sessions"]) for f in (first, second)]
    assert sessions == [1, 2]
