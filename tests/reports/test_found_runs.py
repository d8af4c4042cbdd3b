"""Which folders a report takes, which it leaves out by name, and what it calls its runs."""

from pathlib import Path

import pytest
from compared_runs import write_run

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.reports.comparison import compare_runs
from hpcm_spectral.reports.comparison.compared_runs import MAX_LENGTH, read_runs, short_names


def names(*given: object) -> list[str]:
    return [run.name for run in read_runs([str(path) for path in given])[0]]


def left_out(*given: object) -> dict[str, str]:
    return {folder.path.name: folder.reason for folder in read_runs([str(path) for path in given])[1]}


def test_runs_at_any_depth_each_once_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("sweep/10", "sweep/9", "deep/er/tau=0.013", "deep/er/tau=0.0035"):
        write_run(tmp_path / name, [5])
    # Neither hidden folders nor folders of a run are runs of their own.
    write_run(tmp_path / "sweep" / ".submitit", [5])
    write_run(tmp_path / "sweep" / "9" / "wandb", [5])
    assert names(tmp_path) == ["tau=0.0035", "tau=0.013", "9", "10"]
    assert names(tmp_path / "sweep/9", f"{tmp_path}/sweep/*", tmp_path / "sweep") == ["9", "10"]
    assert names(f"{tmp_path}/**/tau*") == ["tau=0.0035", "tau=0.013"]
    assert left_out(tmp_path) == {}


def test_a_link_to_a_folder_above_ends(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "run", [5])
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert names(tmp_path) == ["run"]


def test_a_folder_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    write_run(tmp_path / "depths=[1,2]", [5])
    assert names(tmp_path / "depths=[1,2]") == ["depths=[1,2]"]


@pytest.mark.parametrize("given", ["nothing*", "nothing", "", "file"])
def test_a_path_that_names_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"runs must name folders.* but {given.rstrip('*') or 'nothing'}"):
        read_runs([given])


def test_what_is_no_usable_run_is_named_and_left_out(tmp_path: Path) -> None:
    for name in (
        "good",
        "cells",
        "rows",
        "config",
        "summary",
        "provenance",
        "no-validation",
        "no-metrics",
        "no-config",
    ):
        write_run(tmp_path / name, [5, 4])
    (tmp_path / "foreign" / "deeper").mkdir(parents=True)
    (tmp_path / "foreign" / "deeper" / "notes.txt").touch()
    for name, file, text in (
        ("cells", "metrics.csv", "step,epoch,val/loss\n9,1,five\n"),
        ("rows", "metrics.csv", "step,epoch,val/loss\n9,1\n19,2,5\n"),
        ("config", "config.yaml", "model: ["),
        ("summary", "summary.json", "[]"),
        ("provenance", "provenance.json", '{"sessions": [1]}'),
        ("no-validation", "metrics.csv", "step,epoch,train/loss\n9,1,5\n"),
    ):
        (tmp_path / name / file).write_text(text)
    (tmp_path / "no-metrics" / "metrics.csv").unlink()
    (tmp_path / "no-config" / "config.yaml").unlink()
    assert names(tmp_path) == ["good"]
    found = left_out(tmp_path)
    assert found.pop("foreign") == "it is no run folder and holds none"
    for name in ("no-validation", "no-metrics"):
        assert found.pop(name) == "it has no validation with a finite loss; its state is 'finished'"
    assert set(found) == {"cells", "rows", "config", "summary", "provenance", "no-config"}
    assert all(reason.startswith("it is damaged: ") and "\n" not in reason for reason in found.values())


def test_a_job_of_a_sweep_whose_settings_were_refused_says_so(tmp_path: Path) -> None:
    write_run(tmp_path / "good", [5])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/summary.json").write_text('{"state": "failed", "error": "tau_init must not exceed 1."}')
    assert left_out(tmp_path) == {"bad": "it failed before its training began: tau_init must not exceed 1"}


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path / "good", [5])
    write_run(tmp_path / "shut" / "run", [5])
    usual = Path.iterdir

    def iterdir(self: Path) -> object:
        if self.name == "shut":
            raise PermissionError(13, "Permission denied", str(self))
        return usual(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert names(tmp_path) == ["good"]
    assert left_out(tmp_path) == {"shut": "it cannot be read: Permission denied"}


def test_unfinished_runs_are_listed_but_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "base", [5, 4])
    write_run(tmp_path / "killed", [5, 1], state="running", lmbda=0.02)
    write_run(tmp_path / "silent", [5, 1], state=None)
    comparison = compare_runs([str(tmp_path)])
    assert {run.name: run.state for run in comparison.runs} == {
        "base": "finished",
        "killed": "running",
        "silent": "without a summary",
    }
    assert comparison.convergence.query("level == 'run'")["run"].tolist() == ["base"]
    assert comparison.curves == ()


def test_nothing_usable_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one run .* it is no run folder and holds none"):
        compare_runs([str(tmp_path)])
    with pytest.raises(ConfigError, match="at least one folder, got an empty list"):
        compare_runs([])


@pytest.mark.parametrize("window", [0, 2, -1])
def test_impossible_smoothing(tmp_path: Path, window: int) -> None:
    with pytest.raises(ConfigError, match="smoothing must be an odd number"):
        compare_runs([str(tmp_path)], window=window)


def test_long_names_are_cut_and_stay_different() -> None:
    paths = [Path("/s") / f"{'x' * 100}{number}{'y' * 100}" for number in range(3)]
    found = short_names(paths)
    assert len(set(found)) == 3
    assert all(len(name) <= MAX_LENGTH + 4 for name in found)


def test_shared_overrides_stay_where_nothing_else_would() -> None:
    assert short_names([Path("/s/tau=1"), Path("/s/tau=1,seed=1")]) == ["tau=1", "tau=1,seed=1"]
    assert short_names([Path("/a/tau=1,seed=1")]) == ["tau=1,seed=1"]
