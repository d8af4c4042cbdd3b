"""Configs of one's own, by --config-dir or in conf/ beside the command, are found wherever a command line is read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hpcm_spectral.cli.command_line import CommandLine, config_folder

Run = Callable[..., int]
SWEEPING = """# @package _global_
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      loss.lmbda: -1,-2
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configs, and the current folder beside it."""
    folder = tmp_path / "somewhere" / "configs"
    for name, content in (("experiment/mine", SWEEPING), ("loss/mine", "defaults: [mse]\nlmbda: 0.25\n")):
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(content)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def beside(own: Path) -> None:
    own.rename("conf")


def test_flags_may_stand_anywhere_and_come_first(own: Path) -> None:
    line = CommandLine.parse(["a=1", "--config-dir", str(own), "b=2", "-p", "d", "-c", "job", "c d"])
    assert line.words == ["a=1", "b=2", "c d"]
    flags = ["--cfg", "job", "--package", "d", "--config-dir", str(own)]
    assert line.arguments() == [*flags, "a=1", "b=2", "c d"]
    assert CommandLine.parse(line.arguments()) == line


def test_a_sweep_beside_a_config_dir_has_a_name(
    own: Path, small_run: list[str], run_train: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train("--config-dir", own, "-m", *small_run, "loss=mine", "loss.lmbda=-1,-2") == 1
    (folder,) = Path("multirun").iterdir()
    assert folder.name.startswith("loss.lmbda-")
    assert sorted(path.name for path in folder.glob("loss*")) == ["loss.lmbda=-1", "loss.lmbda=-2"]
    assert f"{Path('multirun') / folder.name}: 2 jobs, 2 of them not done" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["--config-dir", "conf", "hydra.searchpath"])
def test_an_experiment_of_ones_own_that_sweeps_gives_its_name(
    place: str, own: Path, small_run: list[str], run_train: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    if place == "conf":
        beside(own)
    places = {"--config-dir": ["--config-dir", own], "conf": [], "hydra.searchpath": [f"{place}=[file://{own}]"]}
    assert run_train(*small_run, "experiment=mine", *places[place]) == 1
    (folder,) = Path("multirun").iterdir()
    assert folder.name.startswith("mine-")
    assert sorted(path.name for path in folder.glob("loss*")) == ["loss.lmbda=-1", "loss.lmbda=-2"]
    said = f"configs are looked for in {Path('conf').resolve()}, too" in capsys.readouterr().err.splitlines()
    assert said == (place == "conf")


def test_one_job_of_such_an_experiment_goes_on_alone(
    own: Path, run_train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "overrides.txt").write_text("experiment=mine\nloss=mine\nseed=7\nloss.lmbda=2\n")
    assert run_train("--config-dir", own, f"resume={run}", "optimizer.lr=0.5", "--cfg", "job") == 0
    shown = capsys.readouterr().out
    assert "seed: 7" in shown
    assert "lmbda: 2" in shown
    assert "lr: 0.5" in shown


@pytest.mark.parametrize("place", ["--config-dir", "conf"])
def test_help_lists_them_and_mistakes_are_told_with_them(
    place: str, own: Path, run_train: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    if place == "conf":
        beside(own)
    given = [place, own] if place == "--config-dir" else []
    assert run_train(*given, "--help") == 0
    assert "loss: mine, ms_ssim, mse" in capsys.readouterr().out
    assert run_train(*given, "loss=mime") == 2
    assert "loss must be one of mine, ms_ssim, mse, got mime; did you mean mine?" in capsys.readouterr().err
    assert run_train(*given, "loss=mine", "loss.lambda=1") == 2
    assert "loss.lambda is not a setting; did you mean loss.lmbda?" in capsys.readouterr().err
    folder = (Path("conf") if place == "conf" else own) / "experiment"
    folder.mkdir(exist_ok=True)
    (folder / "unquoted.yaml").write_text("# @package _global_\ndefaults:\n  - override /phase1: off\n")
    assert run_train(*given, "experiment=unquoted") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "experiment=unquoted" in line
    assert "quote words" in line


def test_both_places_together(own: Path, run_train: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside(own)
    path = tmp_path / "more/model/tinier.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("defaults: [hpcm_tiny]\nhyper_channels: 16\n")
    assert run_train("--config-dir", tmp_path / "more", "loss=mine", "model=tinier", "--cfg", "job") == 0
    shown = capsys.readouterr().out
    assert "lmbda: 0.25" in shown
    assert "hyper_channels: 16" in shown


def test_what_is_no_folder_of_configs_is_not_added(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("conf").mkdir()
    assert CommandLine.parse([]).add_conf_beside() is None
    Path("conf").rmdir()
    beside(own)
    assert CommandLine.parse(["hydra.searchpath=[]"]).add_conf_beside() is None
    assert CommandLine.parse(["--config-dir", "conf"]).add_conf_beside() is None
    assert CommandLine.parse([]).add_conf_beside() == Path("conf").resolve()
    monkeypatch.chdir(config_folder().parent)
    assert CommandLine.parse([]).add_conf_beside() is None
