"""Means, results.json and per_image.csv from scores whose numbers are known."""

import csv
import json
import math
import re
from pathlib import Path

import pytest
from compressai.utils.plot.__main__ import main as compressai_plot
from compressai.utils.plot.__main__ import parse_json_file
from matplotlib import pyplot

from hpcm_spectral.evaluation.results import CodecScore, PerImage, curve, table, write_results
from hpcm_spectral.evaluation.score import ImageScore


def score(**changes: object) -> ImageScore:
    values = {
        "image": "a.png",
        "height": 200,
        "width": 300,
        "file_bytes": 3000,
        "string_bytes": {"z": 150, "y": 2800},
        "estimated_bits": {"y": 22000.0, "z": 1190.0},
        "psnr": 30.0,
        "ms_ssim_db": 10.0,
        "encode_seconds": 0.5,
        "decode_seconds": 0.25,
    }
    return ImageScore(**(values | changes))


def write_per_image(folder: Path, codecs: list[CodecScore]) -> Path:
    written = PerImage(folder)
    for codec in codecs:
        for one in codec.images:
            written.add(codec.label, one)
    return written.path


LARGE = score(image="b.png", height=400, width=600, file_bytes=3000, psnr=40.0, ms_ssim_db=20.0)


def test_means_are_over_images_not_over_pixels() -> None:
    codec = CodecScore("mine", (score(), LARGE))
    assert codec.mean("bpp") == pytest.approx((24000 / 60000 + 24000 / 240000) / 2)
    assert codec.mean("psnr-rgb") == 35.0
    assert codec.mean("bpp-estimated") == pytest.approx(23190 * (1 / 60000 + 1 / 240000) / 2)


def test_the_two_means_of_ms_ssim_differ() -> None:
    """10 and 20 dB are 0.9 and 0.99: 15 dB on average, but 0.945 is 12.6 dB."""
    codec = CodecScore("mine", (score(), LARGE))
    assert codec.mean("ms-ssim-rgb") == pytest.approx(0.945)
    assert codec.mean("ms-ssim-rgb-db") == 15.0


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"ms_ssim_db": None}, {"ms-ssim-rgb", "ms-ssim-rgb-db"}),
        ({"psnr": math.inf}, {"psnr-rgb"}),
        ({"psnr": math.nan, "ms_ssim_db": math.nan}, {"psnr-rgb", "ms-ssim-rgb", "ms-ssim-rgb-db"}),
    ],
)
def test_a_mean_that_would_leave_images_out_is_left_out(changes: dict, missing: set[str], tmp_path: Path) -> None:
    whole = CodecScore("whole", (score(), LARGE))
    partial = CodecScore("partial", (score(), score(**changes)))
    results = curve([whole, partial])
    assert set(curve([whole])) - set(results) == missing
    assert {len(values) for values in results.values()} == {2}
    json.loads(write_results(tmp_path, "both", results, {}).read_text(), parse_constant=lambda c: pytest.fail(c))
    assert "-" in table([partial])


def test_compressai_reads_and_plots_results_json(tmp_path: Path) -> None:
    codecs = [CodecScore("low", (score(), LARGE)), CodecScore("high", (score(file_bytes=6000, psnr=33.0), LARGE))]
    path = write_results(tmp_path, "two codecs", curve(codecs), {"note": "free"})
    psnr = parse_json_file(path, "psnr")
    assert psnr == {"name": "two codecs", "xs": [c.mean("bpp") for c in codecs], "ys": [35.0, 36.5]}
    assert parse_json_file(path, "ms-ssim-rgb")["ys"][0] == pytest.approx(-10 * math.log10(1 - 0.945))
    for metric in ("psnr", "ms-ssim"):
        picture = tmp_path / f"{metric}.png"
        compressai_plot(["-f", str(path), "-m", metric, "-o", str(picture)])
        assert picture.stat().st_size > 1000
    pyplot.close("all")  # it leaves its figures open
    content = json.loads(path.read_text())
    assert list(content["results"])[:5] == ["bpp", "psnr-rgb", "ms-ssim-rgb", "encoding_time", "decoding_time"]


def test_per_image_rows_leave_empty_what_an_image_lacks(tmp_path: Path) -> None:
    codecs = [CodecScore("a, b", (score(), score(image="small.png", ms_ssim_db=None)))]
    with write_per_image(tmp_path, codecs).open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["codec"], first["image"], first["container_bytes"]) == ("a, b", "a.png", "3000")
    assert float(first["bpp"]) == pytest.approx(0.4)
    assert float(first["bpp_y"]) + float(first["bpp_z"]) == pytest.approx(8 * 2950 / 60000, rel=1e-5)
    assert float(first["bpp_estimated_y"]) == pytest.approx(22000 / 60000, rel=1e-5)
    assert float(first["ms_ssim"]) == pytest.approx(0.9)
    assert (second["ms_ssim"], second["ms_ssim_db"], second["psnr"]) == ("", "", "30")


def test_the_table_compares_real_bits_with_estimated_ones() -> None:
    heading, row = (re.split(r"\s{2,}", line.strip()) for line in table([CodecScore("mine", (score(),))]).splitlines())
    cells = dict(zip(["codec", *heading], row, strict=True))
    assert cells["real/est."] == f"{8 * 2950 / 23190:.4f}"
    assert (cells["bpp"], cells["PSNR dB"], cells["MS-SSIM"]) == ("0.4000", "30.00", "0.9000")


def test_codecs_of_other_strings_share_a_file_and_a_table(tmp_path: Path) -> None:
    one = CodecScore("one", (score(string_bytes={"y": 2900}, estimated_bits={"y": 23000.0}),))
    both = [one, CodecScore("two", (score(),))]
    with write_per_image(tmp_path, both).open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["y_bytes"], first["z_bytes"], second["z_bytes"]) == ("2900", "", "150")
    assert "bpp-z" not in curve(both)
    assert curve(both)["bpp-y"] == pytest.approx([8 * 2900 / 60000, 8 * 2800 / 60000])
    assert f"{8 * 2900 / 23000:.4f}" in table(both)
