"""What the programs do with images that are not plain 8-bit sRGB: one setting, one line, one sentence."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hpcm_spectral.models import HPCM_Tiny, save_codec

ADOBE = Path(__file__).parents[1] / "data" / "specimens" / "adobergb_profile.png"
# As older systems wrote them, which is no UTF-8.
ADOBE_NAME, LARGE_NAME = os.fsdecode(b"gr\xfcn.png"), os.fsdecode(b"gro\xdf.png")
SMALL = {"latent_channels": 40, "hyper_channels": 8, "widths": (4, 4, 8), "depths": (0, 0, 0)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture with a colour profile, one of 1.1 million pixels, and one whose values mean nothing."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / ADOBE_NAME).write_bytes(ADOBE.read_bytes())
    with (folder / LARGE_NAME).open("wb") as file:
        Image.new("1", (1100, 1000)).save(file, "PNG")
    Image.fromarray(np.full((200, 200), np.nan, dtype=np.float32)).save(folder / "nan.tif")
    return folder


def test_compress_and_evaluate_say_what_was_converted_and_refuse_more_pixels_than_allowed(
    run_program: Callable[..., int],
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch.manual_seed(0)
    (tmp_path / "codec").mkdir()
    save_codec(HPCM_Tiny(**SMALL), tmp_path / "codec", training={})
    codec, limit = f"codec={tmp_path / 'codec'}", "max_megapixels=1"
    assert run_program("compress", codec, f"input={folder}", f"output={tmp_path / 'out'}", limit) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == [Path(ADOBE_NAME).with_suffix(".hpcm").name]
    said = "".join(capfd.readouterr()) + caplog.text
    assert said.count("1 converted from their colour profiles to sRGB") == 1
    assert "gro\\xdf.png" in said
    assert "raise max_megapixels" in said

    caplog.clear()
    (folder / LARGE_NAME).rename(tmp_path / LARGE_NAME)
    output = f"output={tmp_path / 'evaluation'}"
    assert run_program("evaluate", codec, f"images={folder}", output, limit) == 0
    said = "".join(capfd.readouterr()) + caplog.text
    assert said.count("1 converted from their colour profiles to sRGB") == 1
    (tmp_path / LARGE_NAME).rename(folder / LARGE_NAME)
    assert run_program("evaluate", codec, f"images={folder}", output + "2", limit, "on_error=raise") == 2
    assert "raise max_megapixels" in "".join(capfd.readouterr()) + caplog.text
    assert run_program("compress", codec, f"input={folder}", f"output={tmp_path}", "max_megapixels=0") == 2
    assert "max_megapixels must be at least 1, got 0" in "".join(capfd.readouterr())


def test_training_skips_and_names_what_is_larger_than_its_limit(
    run_train: Callable[..., int], small_run: list[str], folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = [word for word in small_run if "_dir=" not in word]
    words = [f"data.train_dir={folder}", f"data.val_dir={folder}", "data.max_megapixels=1", f"hydra.run.dir={run}"]
    assert run_train(*arguments, *words, "phase1=off", "trainer.max_epochs=1", "trainer.limit_val_batches=0") == 0
    log = (run / "train.log").read_text(encoding="utf-8")
    assert "gro\\xdf.png" in log
    assert "raise max_megapixels" in log
    assert "train: 2 images; 1 converted from their colour profiles to sRGB" in log
    assert "nan.tif" in log
