"""A hierarchical codec with rate levels, from training to files, curves and the report, as the command line does it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hpcm_spectral.cli.command_line import config_folder
from hpcm_spectral.models import load_codec
from hpcm_spectral.runs.metrics import read_metrics
from hpcm_spectral.runs.spectra import read_spectral_history

LEVELS = (0, 21, 42, 63)


@pytest.fixture
def run_hierarchy(image_folders: tuple[Path, Path]) -> list[str]:
    """Overrides of a run of a small hierarchy that takes seconds: two epochs of three steps, both phases."""
    train, val = image_folders
    return [
        *("model=dhic_tiny_light", "experiment=full", "diagnostics=spectral", "logger=csv", "trainer.accelerator=cpu"),
        *("data=folder", f"data.train_dir={train}", f"data.val_dir={val}", "data.crop_size=64", "data.batch_size=2"),
        *("data.samples_per_epoch=6", "data.num_workers=0", "trainer.max_epochs=2", "schedule.num_epochs=1"),
        *("diagnostics.every_n_epochs=1", "optimizer.lr=2e-3", "seed=3"),
    ]


def test_a_hierarchy_from_training_to_the_report(
    run_train: Callable[..., int],
    run_program: Callable[..., int],
    run_hierarchy: list[str],
    image_folders: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "runs" / "full"
    assert run_train(*run_hierarchy, f"hydra.run.dir={run}") == 0
    said = (run / "train.log").read_text()
    assert "64 rate levels, lambda 0.0039 to 0.1260 (x 255^2: 256 to 8192)" in said

    # Every scale costs something, every pair is measured, every level is validated at its own lambda.
    metrics = read_metrics(run / "metrics.csv")
    assert metrics.rate_names == ["z1", "z2", "z3", "z4"]
    assert list(metrics.numbered(r"spectral/explained_(\d+)_(\d+)")) == [(1, 2), (2, 3), (3, 4)]
    assert len(metrics.series("val/psnr")) == 2
    for level, factor in zip(LEVELS, (1, 32 ** (1 / 3), 32 ** (2 / 3), 32), strict=True):
        of = {key: metrics.series(f"val/level_{level}/{key}").iloc[-1] for key in ("lmbda", "loss", "bpp_loss")}
        assert 255**2 * of["lmbda"] == pytest.approx(256 * factor, rel=1e-5)
        assert of["loss"] > of["bpp_loss"] > 0
    mean = np.mean([metrics.series(f"val/level_{level}/loss").iloc[-1] for level in LEVELS])
    assert metrics.series("val/loss").iloc[-1] == pytest.approx(mean, rel=1e-5)
    history = read_spectral_history(run)
    assert history is not None
    assert history.scales == ("1", "2", "3", "4")

    # The exported codec is the codec alone.
    codec = load_codec(run)
    assert codec.levels == 64
    assert not any("aligner" in key or "stage" in key for key in codec.state_dict())
    notes = json.loads((run / "codec.json").read_text())["training"]
    assert notes["loss"]["lmbda"] == pytest.approx([256 / 255**2, 8192 / 255**2])

    # Files: of the level that is asked for, the middle one unless told; decoded in part as a preview.
    photo = image_folders[1] / "0.png"
    sizes = {}
    for level in (0, 31, 63, None):
        out = tmp_path / f"level{level}"
        chosen = [] if level is None else [f"level={level}"]
        assert run_program("compress", f"codec={run}", f"input={photo}", f"output={out}", *chosen) == 0
        sizes[level] = (out / "0.hpcm").stat().st_size
    assert (tmp_path / "levelNone" / "0.hpcm").read_bytes() == (tmp_path / "level31" / "0.hpcm").read_bytes()
    pictures = {}
    for scales in (1, 3, None):
        out = tmp_path / f"scales{scales}"
        chosen = [] if scales is None else [f"scales={scales}"]
        given = (f"codec={run}", f"input={tmp_path / 'level31'}", f"output={out}")
        assert run_program("decompress", *given, *chosen) == 0
        pictures[scales] = np.asarray(Image.open(out / "0.png"), dtype=np.float64)
    x = torch.from_numpy(np.asarray(Image.open(photo)) / 255).permute(2, 0, 1)[None].float()
    for record, scales in zip(codec.reconstructions(x, 31)[::2], (1, 3), strict=True):
        expected = (record.x_hat[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
        assert np.abs(pictures[scales] - expected).max() <= 1

    # One codec gives a curve, with its BD-rate.
    capsys.readouterr()
    assert (
        run_program(
            "evaluate",
            *(f"codec={run}", f"images={image_folders[1]}", f"output={tmp_path / 'curve'}"),
            *("levels=[63,0,42,21]", "reference_set=kodak"),
        )
        == 0
    )
    content = json.loads((tmp_path / "curve" / "results.json").read_text())
    assert sorted(point["level"] for point in content["meta"]["codecs"]) == list(LEVELS)
    assert {point["label"] for point in content["meta"]["codecs"]} == {f"full@{level}" for level in LEVELS}
    assert all(len(values) == 4 for values in content["results"].values())
    assert content["meta"]["bd_rate"]
    with (tmp_path / "curve" / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 2
    file = tmp_path / "curve" / "bitstreams" / "full@63" / "0.png.hpcm"
    assert int(next(row for row in rows if row["codec"] == "full@63")["container_bytes"]) == file.stat().st_size

    # The report draws the validated levels as a curve.
    assert run_program("report", f"runs={run}", f"output={tmp_path / 'report'}") == 0
    with (tmp_path / "report" / "rate_distortion.csv").open(newline="") as file:
        points = list(csv.DictReader(file))
    assert [point["config"] for point in points] == [f"full@{level}" for level in LEVELS]
    assert [255**2 * float(point["lmbda"]) for point in points] == pytest.approx([256, 812.7, 2580.3, 8192], rel=1e-3)
    assert (tmp_path / "report" / "rd_psnr.png").exists()


def test_one_rate_takes_lambda_from_the_loss(
    run_train: Callable[..., int], run_program: Callable[..., int], run_hierarchy: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    changes = ["model.levels=1", "loss.lmbda=0.02", "trainer.max_epochs=1", "phase1=off", "phase2=off"]
    assert run_train(*run_hierarchy, *changes, f"hydra.run.dir={run}") == 0
    metrics = read_metrics(run / "metrics.csv")
    values = {key: metrics.series(f"val/{key}").iloc[-1] for key in ("loss", "bpp_loss", "mse_loss")}
    assert values["loss"] == pytest.approx(0.02 * 255**2 * values["mse_loss"] + values["bpp_loss"], rel=1e-4)
    assert not metrics.numbered(r"val/level_(\d+)/loss")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (30, 20), (200, 10, 10)).save(photo)
    assert run_program("compress", f"codec={run}", f"input={photo}", f"output={tmp_path}", "level=1") == 2
    assert run_program("compress", f"codec={run}", f"input={photo}", f"output={tmp_path}", "level=0") == 0


def test_a_lambda_that_no_level_uses_is_refused(
    run_train: Callable[..., int], run_hierarchy: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert run_train(*run_hierarchy, "loss.lmbda=0.02", f"hydra.run.dir={run}") == 2
    assert "loss.lmbda has no effect on a codec of 64 rate levels" in capsys.readouterr().err
    assert run_train(*run_hierarchy, "loss=ms_ssim", f"hydra.run.dir={run}") == 2
    assert "must have rate levels with a lambda above 1 (published are 2.4 to 60.5)" in capsys.readouterr().err
    assert not run.exists()


def test_a_resumed_run_is_the_same_run(run_train: Callable[..., int], run_hierarchy: list[str], tmp_path: Path) -> None:
    """Across the switch from phase 1 to phase 2, with levels drawn at random."""
    run_hierarchy.remove("diagnostics=spectral")
    run_hierarchy.remove("diagnostics.every_n_epochs=1")
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    assert run_train(*run_hierarchy, f"hydra.run.dir={whole}") == 0
    assert run_train(*run_hierarchy, "trainer.max_epochs=1", f"hydra.run.dir={halved}") == 0
    assert run_train(f"resume={halved}", "trainer.max_epochs=2") == 0
    one, other = (read_metrics(folder / "metrics.csv") for folder in (whole, halved))
    for key in ("train/loss", "spectral/explained_1_2", "val/level_21/loss", "val/z1_bpp"):
        assert one.series(key).tail(1).tolist() == other.series(key).tail(1).tolist(), key
    weights = [load_codec(folder).state_dict() for folder in (whole, halved)]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.parametrize(
    ("program", "argument", "words"),
    [
        ("compress", "level=64", "level must lie between 0 and 63 for dhic of 64 rates, got 64"),
        ("compress", "level=-1", "level must lie between 0 and 63 for dhic of 64 rates, got -1"),
        ("compress", "level=low", "level must be a whole number, got 'low'"),
        ("decompress", "scales=5", "scales must lie between 1 and 4 for dhic, got 5"),
        ("decompress", "scales=0", "scales must lie between 1 and 4 for dhic, got 0"),
        ("evaluate", "levels=[0,64]", "levels must lie between 0 and 63 for dhic of 64 rates, got 64"),
        ("evaluate", "levels=[9,9]", "levels must name at least one level, and each once, got [9, 9]"),
        ("evaluate", "levels=[]", "levels must name at least one level, and each once, got []"),
    ],
)
def test_levels_and_scales_that_there_are_not(
    run_program: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    program: str,
    argument: str,
    words: str,
) -> None:
    from hpcm_spectral.models import DHIC, save_codec

    codec = DHIC(
        channels=[8] * 4,
        latent_channels=[3] * 4,
        stem_channels=8,
        stem_depth=0,
        **{f"{part}_depths{where}": [0] * 4 for part, where in (("encoder", ""), ("prior", "_before"))},
        prior_depths_after=[0] * 3,
        decoder_depths_before=[0] * 4,
        decoder_depths_after=[0] * 4,
    )
    (tmp_path / "codec").mkdir()
    save_codec(codec, tmp_path / "codec", training={})
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (30, 20), (200, 10, 10)).save(tmp_path / "photos" / "a.png")
    (tmp_path / "a.hpcm").write_bytes(b"HPCM")
    inputs = {"compress": "photos", "decompress": "a.hpcm", "evaluate": "photos"}
    given = f"{'images' if program == 'evaluate' else 'input'}={tmp_path / inputs[program]}"
    out = tmp_path / "out"
    assert run_program(program, f"codec={tmp_path / 'codec'}", given, f"output={out}", argument) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_training_starts_from_a_codec_of_other_lambdas(
    run_train: Callable[..., int], run_hierarchy: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = [*run_hierarchy, "trainer.max_epochs=1", "phase1=off", "phase2=off", "diagnostics=off"]
    short.remove("diagnostics=spectral")
    short.remove("diagnostics.every_n_epochs=1")
    first, second = tmp_path / "first", tmp_path / "second"
    assert run_train(*short, "model.lmbda_max=1", f"hydra.run.dir={first}") == 0
    assert load_codec(first).lmbdas[-1] == 1
    assert run_train(*short, f"init_from={first}", f"hydra.run.dir={second}") == 0
    capsys.readouterr()
    assert run_train(*short, f"init_from={first}", "model.levels=8", f"hydra.run.dir={tmp_path / 'third'}") == 2
    assert "choose model.levels=64." in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(path.stem for path in (config_folder() / "model").glob("dhic*.yaml")))
def test_every_size_can_be_built(name: str) -> None:
    """Without memory for its weights."""
    from omegaconf import OmegaConf

    from hpcm_spectral.models import DHIC

    settings = OmegaConf.to_container(OmegaConf.load(config_folder() / "model" / f"{name}.yaml"))
    assert settings.pop("_target_") == "hpcm_spectral.models.DHIC"
    with torch.device("meta"):
        parameters = sum(p.numel() for p in DHIC(**settings).parameters())
    if name == "dhic":
        with torch.device("meta"):
            assert DHIC().arguments == DHIC(**settings).arguments
    least, most = {"dhic": (222_649_088, 222_649_088), "dhic_small": (10e6, 20e6), "dhic_tiny": (0.5e6, 1.5e6)}.get(
        name, (0.5e6, 200e6)
    )
    assert least <= parameters <= most
