"""What version 0.1 wrote is still read: its codec, its file, its run folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from hpcm_spectral.cli.entry import config_folder
from hpcm_spectral.config import plain
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.evaluation.files import read_hpcm
from hpcm_spectral.models import load_codec
from hpcm_spectral.runs.saved_config import check_same_run
from hpcm_spectral.sweeps.jobs import FREE_IN_SWEEPS

FOLDER = Path(__file__).parent / "golden/version1"


def test_its_file_decodes_to_the_same_picture() -> None:
    codec = load_codec(FOLDER)
    decoded = read_hpcm(codec, FOLDER / "image.hpcm")
    expected = np.asarray(Image.open(FOLDER / "decoded.png")).astype(int)
    ours = (decoded[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(int)
    assert ours.shape == expected.shape
    # Another processor may round the last bit of a convolution the other way.
    assert np.abs(ours - expected).max() <= 1


def test_its_strings_are_written_again() -> None:
    codec = load_codec(FOLDER)
    pixels = np.asarray(Image.open(FOLDER / "image.png").convert("RGB"))
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    content = (FOLDER / "image.hpcm").read_bytes()
    assert content[:6] == b"HPCM\x01\x00"
    assert content[50:] == b"".join(codec.encode(x).strings.values())


def test_its_run_is_drawn_and_reported(run_program: Callable[..., int], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(FOLDER, run)
    assert run_program("report", f"runs={run}", f"output={tmp_path / 'report'}") == 0
    rows = (tmp_path / "report/runs.csv").read_text().splitlines()
    cells = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert (cells["state"], cells["seed"], cells["final_epoch"]) == ("finished", "3", "4.0")
    assert float(cells["final_loss"]) == 54.48600769042969


def test_its_phases_are_found_in_its_rows(tmp_path: Path) -> None:
    from hpcm_spectral.reports import write_run_figures

    run = tmp_path / "run"
    shutil.copytree(FOLDER, run)
    assert {path.name for path in write_run_figures(run)} >= {"curves.png", "spectrum.png"}


def test_its_config_is_that_of_the_same_command_today() -> None:
    """So that a sweep of then goes on: its optimizer was one recipe, which is two groups now."""
    overrides = (FOLDER / "overrides.txt").read_text().splitlines()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = plain(compose("train", overrides=overrides))
    check_same_run(config, FOLDER, FREE_IN_SWEEPS)
    config["lr_scheduler"]["milestones"] = [0.5, 0.6, 0.7]
    with pytest.raises(ConfigError, match="lr_scheduler.milestones must stay"):
        check_same_run(config, FOLDER, FREE_IN_SWEEPS)
