"""scripts/evaluate.py as the command line runs it, on real files of small codecs."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from hpcm_spectral.evaluation.files import read_hpcm
from hpcm_spectral.metrics.bd_rate import bd_rate
from hpcm_spectral.models import HPCM_Tiny, load_codec, save_codec
from hpcm_spectral.reports.rate_distortion import read_references

LEVELS = (137, 134, 131, 128)


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Codecs that spend ever more bits and paint everything one grey, ever nearer to the images' mean of 128."""
    root = tmp_path_factory.mktemp("runs")
    for number, level in enumerate(LEVELS):
        torch.manual_seed(0)
        codec = HPCM_Tiny()
        with torch.no_grad():
            codec.g_a[-1].weight.mul_(0.5 * 2**number)
            # Priors wide enough for the values, as training makes them: the estimate of outliers is coarse.
            for block in (codec.h_s[-1], codec.context.net_coarse.out, codec.context.net_fine.out):
                getattr(block, "contract", block).bias[: codec.arguments["latent_channels"]] += 3.0
            codec.g_s[-1].weight.zero_()
            codec.g_s[-1].bias.fill_(level / 255)
        (root / str(level)).mkdir()
        save_codec(codec, root / str(level), training={"loss": {"metric": "mse", "lmbda": 0.01}})
    return [root / str(level) for level in LEVELS]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two noisy grey pictures, one of them in a folder of its own."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, shape in (("a.png", (170, 190, 3)), ("deep/b.png", (200, 161, 3))):
        pixels = np.clip(np.rint(rng.normal(128, 6, shape)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def rows_of(output: Path) -> list[dict[str, str]]:
    with (output / "per_image.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_curve_of_four_codecs(
    run_evaluate: Callable[..., int],
    codecs: list[Path],
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given in no order; the results are in the order of their rates.
    listed = ",".join(str(codecs[i]) for i in (2, 0, 3, 1))
    status = run_evaluate(f"codec=[{listed}]", f"images={images}", "reference_set=kodak", "output=out", "name=greys")
    printed = capsys.readouterr().out
    output = tmp_path / "out"
    assert status == 0
    assert {path.name for path in output.iterdir()} == {
        "bitstreams",
        "per_image.csv",
        "provenance.json",
        "rate_distortion.png",
        "results.json",
    }
    content = json.loads((output / "results.json").read_text(encoding="utf-8"))
    results = content["results"]
    assert (content["name"], [c["label"] for c in content["meta"]["codecs"]]) == ("greys", [str(v) for v in LEVELS])

    # What the files say, and what decoding them anew gives.
    rows = rows_of(output)
    assert len(rows) == 4 * 2
    for row in rows:
        file = output / "bitstreams" / row["codec"] / f"{row['image']}.hpcm"
        original = np.asarray(Image.open(images / row["image"]))
        height, width = original.shape[:2]
        assert int(row["container_bytes"]) == file.stat().st_size
        assert int(row["y_bytes"]) + int(row["z_bytes"]) < file.stat().st_size
        assert float(row["bpp"]) == pytest.approx(8 * file.stat().st_size / (height * width), rel=1e-5)
        grey = np.full_like(original, int(row["codec"]))
        assert float(row["psnr"]) == pytest.approx(peak_signal_noise_ratio(original, grey), abs=1e-3)
        real = 8 * (int(row["y_bytes"]) + int(row["z_bytes"])) / (height * width)
        assert real == pytest.approx(float(row["bpp_estimated_y"]) + float(row["bpp_estimated_z"]), rel=0.05)
        assert float(row["encode_seconds"]) > 0
        assert float(row["decode_seconds"]) > 0
    x_hat = read_hpcm(load_codec(codecs[0]), output / "bitstreams" / "137" / "deep" / "b.png.hpcm")
    assert x_hat.shape == (1, 3, 200, 161)
    assert results["psnr-rgb"][0] == pytest.approx(np.mean([float(r["psnr"]) for r in rows[:2]]), abs=1e-3)
    assert results["bpp"] == sorted(results["bpp"])

    # BD-rates with their overlap, or the reason why there is none.
    vtm = next(curve for curve in read_references("kodak").curves if curve.label == "VTM")
    expected = bd_rate(results["bpp"], results["psnr-rgb"], vtm.bpp, vtm.quality("psnr-rgb"))
    found = {(entry["measure"], entry["reference"]): entry for entry in content["meta"]["bd_rate"]}
    assert found["PSNR", "VTM"]["percent"] == pytest.approx(expected.percent)
    assert found["PSNR", "VTM"]["high"] == results["psnr-rgb"][-1]
    assert f"PSNR against VTM: {expected.percent:+.2f} % over {expected.low:.2f} to" in printed
    mean_in_db = [-10 * np.log10(1 - value) for value in results["ms-ssim-rgb"]]
    expected = bd_rate(results["bpp"], mean_in_db, vtm.bpp, vtm.quality("ms-ssim-rgb"))
    assert found["MS-SSIM", "VTM"]["percent"] == pytest.approx(expected.percent)
    assert "the user's word" in printed
    assert printed.count("\n137 ") == printed.count("\n128 ") == 1

    # A second evaluation does not overwrite the first.
    before = (output / "results.json").read_bytes()
    assert run_evaluate(f"codec={codecs[0]}", f"images={images}", "output=out") == 2
    assert "out has results.json" in capsys.readouterr().err
    assert (output / "results.json").read_bytes() == before


def test_one_codec_on_images_of_ones_own(
    run_evaluate: Callable[..., int],
    codecs: list[Path],
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (images / "deep" / "b.png").write_bytes(b"no image")
    Image.new("RGB", (200, 160), (9, 99, 199)).save(images / "small.png")
    assert run_evaluate(f"codec={codecs[1]}", f"images={images}", "transforms=bfloat16", "output=out") == 0
    captured = capsys.readouterr()
    content = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert content["name"] == "134"
    assert content["meta"]["images"] == {"folder": str(images), "set": None, "count": 2, "skipped": 1}
    assert content["meta"]["bd_rate"] == []
    assert content["meta"]["transforms"] == "bfloat16"
    said = "Files of transforms in bfloat16; estimated bits are those of a forward pass in float32."
    assert said in content["meta"]["remarks"]
    assert said in captured.out
    assert "The curves are of Kodak, the points of other images (photos)" in captured.out
    assert [len(values) for values in content["results"].values()] == [1] * len(content["results"])
    assert not [key for key in content["results"] if key.startswith("ms-ssim")]
    assert "1 image with a side under 161 pixels: no MS-SSIM of small.png" in captured.out
    assert "1 image was skipped" in captured.out
    assert "deep/b.png must be readable" in captured.err
    assert [(row["image"], row["ms_ssim"] != "") for row in rows_of(tmp_path / "out")] == [
        ("a.png", True),
        ("small.png", False),
    ]


def test_a_comparison_of_one_codec_says_how_many_it_takes(
    run_evaluate: Callable[..., int], codecs: list[Path], images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_evaluate(f"codec={codecs[0]}", f"images={images}", "reference_set=tecnick") == 0
    assert "BD-rate needs a curve of at least 4 points, this one has 1" in capsys.readouterr().out


def test_codecs_of_equal_folder_names_are_told_apart(
    run_evaluate: Callable[..., int], codecs: list[Path], images: Path, tmp_path: Path
) -> None:
    for name in ("x", "y"):
        shutil.copytree(codecs[0], tmp_path / name / "codec")
    (images / "a.png").unlink()
    paths = f"[{tmp_path}/x/codec,{tmp_path}/y/codec/]"
    status = run_evaluate(f"codec={paths}", f"images={images}", "output=out")
    assert status == 0
    assert {row["codec"] for row in rows_of(tmp_path / "out")} == {"x/codec", "y/codec"}
    assert len(list((tmp_path / "out" / "bitstreams").rglob("*.hpcm"))) == 2


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["images=kodak"], "images=kodak needs a folder datasets/kodak with kodim01.png to kodim24.png"),
        (["images=tecnick", "datasets=d"], "images=tecnick needs a folder d/tecnick with the 100 PNG files"),
        (["images=nowhere"], "images must name a folder or one of kodak, clic_pro_valid, tecnick"),
        (["images=photos", "device=tpu"], "device must be cpu or cuda, got 'tpu'."),
        (["images=photos", "reference_set=kodka"], "reference_set must be kodak, clic_pro_valid or tecnick, got"),
        (["images=photos", "output="], "output must name a folder, got nothing"),
        (["images=photos", "codec=[]"], "codec must name a folder, or several as [A,B], got []."),
        (["images=photos", "codec=[a,a]"], "codec must name every folder once, got a, a."),
        (["images=photos", "codec=3"], "codec must be text or a list, got 3."),
        (["images=photos", "codec=missing"], "missing/codec.json"),
        (["images=photos", "imges=3"], "imges is not a setting; did you mean images?"),
        (["images=photos", "+imges=3"], "imges is not a setting; did you mean images?"),
        ([], "images is required, got nothing; set images=VALUE."),
    ],
)
def test_wrong_settings_end_with_one_sentence_and_leave_nothing(
    overrides: list[str],
    sentence: str,
    run_evaluate: Callable[..., int],
    codecs: list[Path],
    images: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    codec = [] if any(override.startswith("codec=") for override in overrides) else [f"codec={codecs[0]}"]
    output = [] if any(override.startswith("output=") for override in overrides) else ["output=out"]
    assert run_evaluate(*codec, *output, *overrides) == 2
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert sentence in line
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_codec_that_cannot_code_an_image_is_named_with_it(
    run_evaluate: Callable[..., int],
    codecs: list[Path],
    images: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    codec = load_codec(codecs[0])
    with torch.no_grad():
        codec.g_a[-1].weight.fill_(3e38)
    (tmp_path / "huge").mkdir()
    save_codec(codec, tmp_path / "huge", training={})
    assert run_evaluate(f"codec={tmp_path}/huge", f"images={images}", "output=out") == 2
    err = capsys.readouterr().err
    assert "error: out/bitstreams/huge/a.png.hpcm: The codec's latents must be finite" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "results.json").exists()
