"""Sweeps of trainings on two devices, for real: a process of its own per job, and a second one that it starts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sweep_output import SCRIPT, rows_of

from hpcm_spectral.runs.folder import hold
from hpcm_spectral.sweeps.processes import needs_processes, slurm_session, task_rank
from hpcm_spectral.sweeps.records import JobRecord, await_record


def test_two_jobs_of_two_processes_each_are_interrupted_and_go_on(
    small_run: list[str],
    run_train: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "a sweep"
    command = [
        *("-m", *small_run, "data.samples_per_epoch=2", "trainer.devices=2", f"hydra.sweep.dir='{folder}'"),
        *("trainer.max_epochs=4", "seed=1,2"),
    ]
    first, second = folder / "seed=1", folder / "seed=2"
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 300
    while not (second / "checkpoints/last.ckpt").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) == 2
    process.send_signal(signal.SIGTERM)  # to it alone: it has to pass it on
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert [cells[0] for cells in rows_of(out).values()] == ["finished", "interrupted"]
    assert psutil.wait_procs(started, timeout=10)[1] == []
    assert json.loads((second / "summary.json").read_text())["state"] == "interrupted"
    with hold(second):
        pass

    assert run_train(*command) == 0
    rows = rows_of(capsys.readouterr().out)
    assert [cells[:2] for cells in rows.values()] == [["skipped", "4"], ["finished", "4"]]
    assert "continuing from" in (second / "train.log").read_text()
    summaries = [json.loads((job / "summary.json").read_text()) for job in (first, second)]
    # Two images an epoch are one step of two processes.
    assert [summary["steps"] for summary in summaries] == [4, 4]
    assert rows["seed=2"][2] == f"{summaries[1]['best_val_loss']:.4f}"
    names = {
        line for job in (first, second) for line in (job / "config.yaml").read_text().splitlines() if "seed-" in line
    }
    assert len(names) == 1  # the sweep's, which W&B groups by


def test_what_a_job_of_its_own_process_refuses_is_told_as_its_reason(
    small_run: list[str], run_train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["-m", *small_run, "trainer.devices=2", f"hydra.sweep.dir={tmp_path / 's'}"]
    assert run_train(*sweep, "schedule.tau_init=choice(1.5)") == 1
    printed = capsys.readouterr()
    job = tmp_path / "s/schedule.tau_init=1.5"
    reason = "schedule.tau_init must not exceed tau_final (1.0), got 1.5; the band only opens."
    assert rows_of(printed.out)[job.name][0] == "failed"
    assert f"{job.name}: {reason}" in printed.out
    assert "Traceback" not in printed.err
    assert reason in (job / "train.log").read_text()
    assert sorted(path.name for path in job.iterdir()) == ["summary.json", "train.log"]


@pytest.mark.parametrize(
    ("trainer", "several"),
    [
        ({"devices": 1}, False),
        ({"devices": 2}, True),
        ({"devices": "2"}, True),
        ({"devices": [0, 1]}, True),
        ({"devices": "0,1"}, True),
        ({"devices": [1]}, False),
        ({"devices": "0,"}, False),
        ({"devices": "auto", "accelerator": "cpu"}, False),
        ({"devices": 1, "num_nodes": 2}, True),
    ],
)
def test_settings_that_take_several_processes(trainer: dict[str, object], several: bool) -> None:
    assert needs_processes(trainer) == several


def test_tasks_of_slurm_know_their_number_and_wait_for_what_the_first_decides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (task_rank(), slurm_session()) == (0, None)
    for name, value in (("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2"), ("SLURM_JOB_ID", "77")):
        monkeypatch.setenv(name, value)
    assert (task_rank(), slurm_session()) == (1, "77.0")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    JobRecord(0, "job", "running", tasks="77.0").write(tmp_path)  # of the session that was preempted
    code = "import sys, time; from pathlib import Path; from hpcm_spectral.sweeps.records import JobRecord\n"
    code += "time.sleep(0.5); JobRecord(0, 'job', 'running', tasks='77.1', resume='auto').write(Path(sys.argv[1]))"
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    assert await_record(tmp_path, 0, "77.1").resume == "auto"
    assert writer.wait() == 0
    monkeypatch.setenv("SUBMITIT_LOCAL_GLOBALRANK", "1")
    assert (task_rank(), slurm_session()) == (1, None)
