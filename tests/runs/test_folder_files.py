"""The smaller files of a run folder: each comes back as it was written, as valid JSON, and no torch is needed."""

import ast
import importlib
import json
import subprocess
from pathlib import Path

import pytest

import hpcm_spectral.runs
from hpcm_spectral.errors import CheckpointError, UserError
from hpcm_spectral.runs.metrics import MetricsWriter, read_metrics
from hpcm_spectral.runs.phases import PhaseRecord, read_phases, write_phases
from hpcm_spectral.runs.provenance import read_machines, write_provenance
from hpcm_spectral.runs.sample_index import Sample, read_samples, write_sample_index
from hpcm_spectral.runs.summary import read_summary, seconds_so_far, write_summary

NOT_HERE = {"torch", "lightning", "hydra", "compressai"}


def strictly(path: Path) -> object:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(path.read_text(), parse_constant=refuse)


def test_runs_need_neither_torch_nor_lightning_nor_hydra() -> None:
    for path in Path(hpcm_spectral.runs.__path__[0]).glob("*.py"):
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import | ast.ImportFrom)]
        names = [alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names]
        names += [str(n.module) for n in nodes if isinstance(n, ast.ImportFrom)]
        assert not NOT_HERE & {name.partition(".")[0] for name in names}, path


def test_a_summary_is_valid_json_whatever_a_run_measured(tmp_path: Path) -> None:
    assert read_summary(tmp_path) == {}
    assert seconds_so_far(tmp_path) == 0.0
    write_summary(tmp_path, {"seconds": 3, "val": {"psnr": float("inf"), "loss": [float("nan"), 1.5]}})
    assert strictly(tmp_path / "summary.json") == {"seconds": 3, "val": {"psnr": None, "loss": [None, 1.5]}}
    assert seconds_so_far(tmp_path) == 3.0
    assert seconds_so_far(tmp_path, "val") == seconds_so_far(tmp_path, "other") == 0.0


@pytest.mark.parametrize("text", ["[", "[1]", "\ufeff{"])
def test_a_damaged_summary_is_none_or_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text)
    assert read_summary(tmp_path) == {}
    with pytest.raises(UserError, match="summary.json must describe the run, but"):
        read_summary(tmp_path, strict=True)


def test_samples_come_back_with_their_folder(tmp_path: Path) -> None:
    assert read_samples(tmp_path) == ()
    folder = tmp_path / "samples"
    folder.mkdir()
    samples = [Sample("a", 0.5, float("inf"), folder / "0_a.png", folder / "0_b.png", 12.0)]
    write_sample_index(tmp_path, samples)
    (entry,) = strictly(folder / "samples.json")
    assert (entry["original"], entry["psnr"], entry["ms_ssim_db"]) == ("0_a.png", None, 12.0)
    (back,) = read_samples(tmp_path)
    assert (back.name, back.bpp, back.original, back.decoded) == ("a", 0.5, folder / "0_a.png", folder / "0_b.png")
    assert back.psnr != back.psnr


def test_phases_come_back(tmp_path: Path) -> None:
    assert read_phases(tmp_path) is None
    records = [
        PhaseRecord("stages.mine", "mine", 0, None, 0.5, None, {"strength": 3}),
        PhaseRecord("phase2", "p", 1, 2.5),
    ]
    write_phases(tmp_path, records)
    assert read_phases(tmp_path) == records
    write_phases(tmp_path, [PhaseRecord("phase2", "p", 1, None, description={"limit": float("inf")})])
    assert strictly(tmp_path / "phases.json")["phases"][0]["description"] == {"limit": None}


def test_every_session_adds_to_the_provenance(tmp_path: Path) -> None:
    assert read_machines(tmp_path) == (0, None)
    write_provenance(tmp_path, 3, {"gpus": ["A", "B"], "torch_threads": 2}, initialised_from={"path": "there"})
    write_provenance(tmp_path, 3, {"gpus": []})
    first, second = strictly(tmp_path / "provenance.json")["sessions"]
    assert (first["seed"], first["initialised_from"], first["machine"]["torch_threads"]) == (3, {"path": "there"}, 2)
    assert "initialised_from" not in second
    assert (tmp_path / "git.diff").exists()
    assert (tmp_path / "git-2.diff").exists()
    count, machines = read_machines(tmp_path)
    processor = first["machine"]["processor"]
    assert (count, machines) == (2, f"{processor}, A, B and {processor}, no GPU")
    (tmp_path / "provenance.json").write_text("{}")
    with pytest.raises(CheckpointError, match="provenance.json must list the sessions"):
        write_provenance(tmp_path, 3, {"gpus": []})


def test_code_that_no_commit_holds_is_kept_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"my_stage_x": "import my_helper_x\n", "my_helper_x": "WEIGHT = '\u00e9'", "unused_x": "x = 1\n"}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("my_stage_x")
    run = tmp_path / "run"
    run.mkdir()
    write_provenance(run, 3, {"gpus": []})

    (session,) = strictly(run / "provenance.json")["sessions"]
    own = {Path(path).name for path in session["own_code"]}
    assert {"my_stage_x.py", "my_helper_x.py"} <= own
    assert not own & {"unused_x.py", "provenance.py", "pytest.py", "json.py"}
    # The diff alone brings them back.
    subprocess.run(["git", "init", "-q", tmp_path / "again"], check=True)
    include = "--include=*/my_*_x.py"
    subprocess.run(["git", "apply", include, run / "git.diff"], check=True, cwd=tmp_path / "again")
    del texts["unused_x"]
    assert {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "again").rglob("*.py")} == texts


def test_rows_of_a_step_are_joined_and_a_new_session_goes_on(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.add({"spectral/phase": "phase1"}, 0)
    writer.add({"train/loss": 2.0, "epoch": 0.0}, 0)
    writer.add({"val/loss": float("nan"), "epoch": 0.5}, 0)
    writer.add({"train/loss": 1.0, "epoch": 0.5}, 1)
    writer.flush()
    writer.flush()
    table = read_metrics(tmp_path / "metrics.csv")
    assert len(table) == 3
    assert table.text("spectral/phase").tolist() == ["phase1", "", ""]
    assert table.left_out("val/loss") == 1
    again = MetricsWriter(tmp_path)
    again.forget_from(1)
    again.add({"train/other": 3.0, "epoch": 0.5}, 1)
    again.flush()
    table = read_metrics(tmp_path / "metrics.csv")
    assert table.series("train/loss").tolist() == [2.0]
    assert table.series("train/other").tolist() == [3.0]
    assert table.steps == 2


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "step,epoch\n-1,0\n", "step,epoch\nx,0\n", "step,epoch\n1\n2,0\n"])
def test_metrics_that_cannot_be_continued(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(CheckpointError, match="metrics.csv must hold the metrics of a run, but"):
        MetricsWriter(tmp_path)
