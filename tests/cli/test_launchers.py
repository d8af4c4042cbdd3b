"""Every launcher and the Optuna sweeper for real: processes of this machine, Ray, submitit's local executor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf
from sweep_output import SCRIPT, rows_of

from hpcm_spectral.sweeps.launchers import NEEDED


def run_sweep(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize(
    ("launcher", "module"),
    [("joblib", "hydra_joblib_launcher"), ("ray", "hydra_ray_launcher"), ("submitit_local", "hydra_submitit_launcher")],
)
def test_launches_jobs_of_which_one_fails(launcher: str, module: str, small_run: list[str], tmp_path: Path) -> None:
    pytest.importorskip(f"hydra_plugins.{module}")
    options = ["trainer.max_epochs=1", "data.samples_per_epoch=1", f"hydra.sweep.dir={tmp_path}"]
    swept = "schedule.tau_init=0.1,1.5,0.2"

    done = run_sweep("-m", *small_run, *options, swept, f"hydra/launcher={launcher}")

    assert done.returncode == 1, done.stderr
    assert {job: cells[0] for job, cells in rows_of(done.stdout).items()} == {
        "schedule.tau_init=0.1": "finished",
        "schedule.tau_init=1.5": "failed",
        "schedule.tau_init=0.2": "finished",
    }
    assert (tmp_path / "schedule.tau_init=0.2" / "codec.safetensors").exists()


def test_a_search_prunes_keeps_its_study_and_goes_on_with_it(small_run: list[str], tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    options = [
        *("-m", *small_run, "data.samples_per_epoch=1", f"hydra.sweep.dir={tmp_path}", "hydra/sweeper=optuna"),
        *("optimizer.lr=choice(1e-3,1e-9)", "hydra.sweeper.n_startup_trials=1", "trainer.max_epochs=3"),
    ]

    first = run_sweep(*options, "hydra.sweeper.n_trials=2", "hydra.sweeper.seed=1")
    assert first.returncode == 0, first.stderr
    again = run_sweep(*options, "hydra.sweeper.n_trials=5", "hydra.sweeper.seed=2")
    assert again.returncode == 0, again.stderr

    from hpcm_spectral.sweeps.optuna_search import STUDY, storage_in

    trials = optuna.load_study(study_name=STUDY, storage=storage_in(tmp_path)).trials
    assert len(trials) == 5
    assert "2 of 5 trials are done already" in again.stderr
    best = json.loads((tmp_path / "best_trial.json").read_text())
    # A learning rate of 1e-9 leaves the codec as it started.
    assert best["params"] == {"optimizer.lr": "0.001"}
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert best["val_loss"] == min(trial.value for trial in complete)


@pytest.mark.parametrize(("state", "told"), [("pruned", "PRUNED"), ("finished", "COMPLETE")])
def test_a_study_is_told_what_a_jobs_own_summary_says(state: str, told: str, tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    from hpcm_spectral.sweeps.optuna_search import _tell

    (tmp_path / "summary.json").write_text(json.dumps({"state": state}))
    study = optuna.create_study()
    config = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(tmp_path)}}})
    # The working directory is the command's, not the job's folder.
    job = JobReturn(hydra_cfg=config, working_dir=str(tmp_path.parent), status=JobStatus.COMPLETED, _return_value=1.5)
    _tell(study, study.ask(), job)
    assert study.trials[0].state.name == told


@pytest.mark.parametrize("choice", NEEDED)
def test_a_choice_that_is_not_installed_names_its_extra(
    choice: str, monkeypatch: pytest.MonkeyPatch, run_train: object, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hpcm_spectral.sweeps.launchers.find_spec", lambda name: None)
    assert run_train("-m", choice, "seed=1,2") == 2  # type: ignore[operator]
    assert f"{choice} needs packages that are not installed; pip install -e '.[" in capsys.readouterr().err
