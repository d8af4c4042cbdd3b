"""A package outside the repository, installed nowhere: it trains, exports, codes, evaluates and is reported."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
OUTSIDE = ROOT / "tests/outside"
CLASS = "two_scales.TwoScales"


def program(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / f"scripts/{name}.py"), *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(OUTSIDE), str(ROOT)))}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(image_folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder elsewhere with a finished run of the outside experiment."""
    place = tmp_path_factory.mktemp("elsewhere")
    train, val = image_folders
    data = [f"data.train_dir={train}", f"data.val_dir={val}", "data.num_workers=0"]
    small = ["data=folder", *data, "data.batch_size=2", "data.samples_per_epoch=4", "trainer.accelerator=cpu"]
    arguments = ["--config-dir", OUTSIDE / "conf", "experiment=two_scales", *small, "hydra.run.dir=run"]
    done = program("train", *arguments, cwd=place)
    assert done.returncode == 0, done.stderr
    return place


def test_its_run_has_its_codec_stage_schedule_and_callback(place: Path) -> None:
    run = place / "run"
    assert json.loads((place / "steps.json").read_text()) == {"steps": 4}
    assert json.loads((run / "codec.json").read_text())["name"] == CLASS
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    words = {row["spectral/phase"] for row in rows} - {""}
    assert words == {"phase1_intra+quiet", "phase2_inter+quiet"}
    assert {float(row["spectral/tau"]) for row in rows if row["spectral/tau"]} == {0.1}
    assert any(float(row["val/coarse_bpp"] or 0) > 0 for row in rows)
    assert any(row["spectral/explained_1_2"] for row in rows)
    phases = {entry["key"]: entry for entry in json.loads((run / "phases.json").read_text())["phases"]}
    assert phases["stages.quiet"]["description"] == {"weight": 0.05}
    assert (phases["phase2"]["began"], phases["phase1"]["ended"]) == (1.0, 1.0)


def test_its_codec_codes_files_where_its_class_is_allowed(place: Path, image_folders: tuple[Path, Path]) -> None:
    image = image_folders[1] / "0.png"
    refused = program("compress", "codec=run", f"input={image}", "output=coded", cwd=place)
    assert refused.returncode == 2
    assert "names the class 'two_scales.TwoScales'" in refused.stderr
    assert "allow=two_scales.TwoScales" in refused.stderr
    assert (
        program("compress", "codec=run", f"input={image}", "output=coded", f"allow={CLASS}", cwd=place).returncode == 0
    )
    done = program("decompress", "codec=run", "input=coded", "output=decoded", f"allow={CLASS}", cwd=place)
    assert done.returncode == 0, done.stderr
    assert Image.open(place / "decoded/0.png").size == Image.open(image).size


def test_it_is_evaluated_and_reported(place: Path, image_folders: tuple[Path, Path]) -> None:
    images = image_folders[1]
    done = program("evaluate", "codec=run", f"images={images}", "output=evaluation", f"allow={CLASS}", cwd=place)
    assert done.returncode == 0, done.stderr
    results = json.loads((place / "evaluation/results.json").read_text())["results"]
    assert {"bpp-coarse", "bpp-fine", "psnr-rgb"} <= results.keys()
    done = program("report", "run", "output=report", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "finished" in (place / "report/runs.csv").read_text()
    assert (place / "report/spectra.png").exists()
