"""Hydra as its users use it: what it offers works here, or is refused in one sentence before anything is written."""

import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sweep_output import rows_of

from hpcm_spectral.cli.command_line import CommandLine

Run = Callable[..., int]
Printed = pytest.CaptureFixture[str]
REFUSED = {
    "-m --cfg job seed=1,2": "got --multirun and --cfg",
    "-m --info seed=1,2": "got --multirun and --info",
    "-m --shell-completion install=bash": "got --multirun and --shell-completion",
    "--package model": "--package says what --cfg shows",
    "--resolve": "--resolve says what --cfg shows",
    "--cfg hydra --resolve": "--cfg all --resolve",
    "--cfg jobs": "invalid choice: 'jobs'",
    "--nope": "unrecognized arguments: --nope",
    "--shell-completion": "install=bash",
    "--experimental-rerun a.pickle": "resume=RUN",
    "--config-path a": "--config-dir DIR",
    "--config-dir nowhere": "--config-dir must name a folder, but there is none at nowhere",
    "--config-name nope": "--config-name must be one of benchmark, compress,",
    "+experiment=quickstart": "experiment is a group that has its place already, got it with a +",
    "stages=[nope]": "stages must be one of off, got nope",
    "callbacks=[ema,lr_monitr]": "did you mean lr_monitor?",
    "trainer.profiler=simple": "add it with +trainer.profiler=VALUE",
    "+trainer.profilr=simple": "trainer.profilr is not a setting; did you mean trainer.profiler?",
    "loss.lmbda=0.1=2": "loss.lmbda must be a number, got '0.1=2'",
    "-m seed=1,2 hydra.sweep.dir=s/${seed}": "hydra.sweep.dir must be the same for all jobs",
    "model=hpcm_tiny model@model=hpcm_tiny data.num_workers=0": "model@model is not chosen yet; model=OPTION",
    "hydra.job.nam=x": "did you mean hydra.job.name?",
    "hydra.job.chdir=true": "hydra.job.chdir must stay false",
    "-m seed=1,2 hydra.run.dir=here": "hydra.run.dir must be left out of a sweep",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty current folder; and what Hydra's information and help do to logging is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.root, "handlers", [])
    level = logging.root.level
    yield
    logging.root.setLevel(level)


@pytest.mark.parametrize(("words", "sentence"), REFUSED.items())
def test_what_does_not_work_here_is_refused(
    words: str, sentence: str, run_train: Run, tmp_path: Path, capsys: Printed
) -> None:
    assert run_train(*words.split()) == 2
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if not line.startswith("configs are")]
    assert line.startswith("error: ")
    assert sentence in line
    assert not [*tmp_path.iterdir()]


def test_the_reason_of_a_blocked_class_is_whole(run_train: Run, tmp_path: Path, capsys: Printed) -> None:
    assert run_train("model=custom", "model._target_=subprocess.run") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'subprocess.run' is blocklisted because" in line
    assert line.endswith("target family.")
    assert not [*tmp_path.iterdir()]  # nor the folders of a date


@pytest.mark.parametrize("info", ["", "all", "config", "defaults", "defaults-tree", "plugins", "searchpath"])
def test_information_is_printed(info: str, run_program: Run, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    assert run_program("train", "seed=4", "--info", *filter(None, [info]), "loss=ms_ssim") == 0
    printed = capsys.readouterr().out
    assert ("ms_ssim" in printed) == (info not in ("plugins", "searchpath"))
    assert printed.strip()


@pytest.mark.parametrize("program", ["train", "compress", "convert_checkpoint", "report"])
def test_help_of_hydra_and_completion(program: str, run_program: Run, capsys: Printed) -> None:
    assert run_program(program, "seed=1", "--hydra-help") == 0
    assert "== Flags ==" in capsys.readouterr().out
    assert run_program(program, "install=bash", "-sc") == 0
    assert "complete" in capsys.readouterr().out


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a run, as far as its overrides go, with a name that Hydra cannot read."""
    folder = tmp_path / "s/seed=1,loss=mse \u00e9"
    folder.mkdir(parents=True)
    lines = ["logger.wandb.project=mine", "+trainer.profiler=simple", "optimizer.lr=0.5", "~phase1", "callbacks=[ema]"]
    lines += ["callbacks.ema.decay=0.5", "sweep.name='a,b=[c]'", "sweep.trial=3", "gone.setting=1"]
    (folder / "overrides.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "phases.json").write_text("{}")
    return folder


def test_flags_may_stand_in_any_order_with_resume(saved: Path, run_train: Run, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "own/loss").mkdir(parents=True)
    (tmp_path / "own/loss/mine.yaml").write_text("defaults: [mse]\nlmbda: 0.25\n")
    run, loss, place, shown = f"resume={saved}", "loss=mine", ["--config-dir", "own"], set()
    for order in ([*place, run, loss, "-c", "job"], [run, loss, "-c", "job", *place], [run, *place, loss, "--cfg=job"]):
        assert run_train(*order) == 0
        shown.add(capsys.readouterr().out)
    (text,) = shown
    for setting in ("lmbda: 0.25", "project: mine", "lr: 0.5", "decay: 0.5", "name: a,b=[c]", "trial: null"):
        assert setting in text


def test_saved_overrides_that_fit_no_more_are_left_out_and_named(saved: Path, run_train: Run, capsys: Printed) -> None:
    assert run_train(f"resume={saved}", "logger=csv", "callbacks=off", "--cfg", "job") == 0
    printed = capsys.readouterr()
    assert "lr: 0.5" in printed.out
    assert "profiler: simple" in printed.out
    assert not {"wandb", "ema"} & set(printed.out.replace(":", "").split())
    assert printed.err.splitlines()[-1].endswith(": gone.setting=1")
    # What is given now is held to what it says.
    assert run_train(f"resume={saved}", "other.setting=1", "--cfg", "job") == 2
    assert "other.setting is not a setting" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["{}", "'{}'", "${{oc.env:RUN}}"])
def test_a_run_is_continued_by_any_form_of_its_path(
    form: str, saved: Path, run_train: Run, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setenv("RUN", str(saved))
    assert run_train(f"resume={form.format(saved)}", "--cfg", "job") == 0
    assert "lr: 0.5" in capsys.readouterr().out


def test_values_that_hydra_cannot_read_are_taken_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    readable = ["c=1,2", "d='x=y'", "e=[x", "f=${oc.env:HOME}/x=1", "~g"]
    line = CommandLine.parse(["a=x/b=1,c=2", "b=a,b", "h=~/x", *readable])
    line.quote_values()
    assert line.words == ["a='x/b=1,c=2'", "b='a,b'", "h='~/x'", *readable]


def test_sweeps_by_folders_of_the_users(small_run: list[str], run_train: Run, tmp_path: Path, capsys: Printed) -> None:
    """They have their table, and the state of failed jobs, however deep they lie; one folder for all is refused."""
    command = ["-m", *small_run, "loss.lmbda=-1,-2", "hydra.sweep.dir=deep"]
    assert run_train(*command, "hydra.sweep.subdir=a/${loss.lmbda}/${hydra.job.num}") == 1
    assert {job: cells[0] for job, cells in rows_of(capsys.readouterr().out).items()} == {
        "a/-1/0": "failed",
        "a/-2/1": "failed",
    }
    assert json.loads((tmp_path / "deep/a/-2/1/summary.json").read_text())["state"] == "failed"
    assert run_train(*command, "hydra.sweep.subdir=.") == 1
    assert "hydra.sweep.subdir must name a folder of its own" in capsys.readouterr().out


def test_other_programs_sweep_too_and_say_what_failed(run_program: Run, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "in").mkdir()
    assert run_program("compress", "-m", "codec=a,b", "input=in", "output=out", "hydra.sweep.dir=s") == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in errors] == [True, True]


def test_a_search_goes_on_with_the_same_choices_only(run_train: Run, tmp_path: Path, capsys: Printed) -> None:
    optuna = pytest.importorskip("optuna")
    from hpcm_spectral.sweeps.optuna_search import STUDY, storage_in

    (tmp_path / "s").mkdir()
    study = optuna.create_study(storage=storage_in(tmp_path / "s"), study_name=STUDY)
    study.tell(study.ask({"loss.lmbda": optuna.distributions.CategoricalDistribution(["1", "2"])}), 1.0)
    command = ["-m", "hydra/sweeper=optuna", "hydra.sweep.dir=s", "hydra.sweeper.n_trials=2"]
    for other in ("choice(1,3)", "interval(1,2)"):
        assert run_train(*command, f"loss.lmbda={other}") == 2
        (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert "loss.lmbda must be searched as it was in s, choice(1, 2), got" in error


def test_two_runs_of_one_second_and_what_is_printed_to_be_pasted(
    small_run: list[str], run_train: Run, tmp_path: Path, capsys: Printed
) -> None:
    """A run that finds the folder of its date taken gets the next; an interrupted one says how it goes on."""
    day = tmp_path / "outputs/now"
    (day / "first").mkdir(parents=True)
    (day / "first/config.yaml").write_text("model: {}\n")
    (tmp_path / "stop_s.py").write_text(
        "from lightning.pytorch.callbacks import Callback\n"
        "class Stop(Callback):\n"
        "    def on_train_epoch_end(self, trainer, module):\n"
        "        if trainer.current_epoch == 1: raise KeyboardInterrupt\n"
    )
    sys.path.insert(0, str(tmp_path))
    date = "hydra.run.dir=outputs/now/${now:first}"
    try:
        assert run_train(*small_run, "debug=fast", date) == 0
        assert [path.name for path in day.iterdir()] == ["first"]
        assert run_train(*small_run, "+callbacks.stop._target_=stop_s.Stop", date) == 130
    finally:
        sys.path.remove(str(tmp_path))
    (word,) = [shlex.split(line)[-1] for line in capsys.readouterr().err.splitlines() if "resume=" in line]
    assert word == f"resume={day / 'first-2'}"
    assert json.loads((day / "first-2/summary.json").read_text())["state"] == "interrupted"
