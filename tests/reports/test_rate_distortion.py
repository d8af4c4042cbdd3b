"""Published curves, comparisons with them, and their picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpcm_spectral.reports.rate_distortion import (
    FIGURE,
    FOLDER,
    Curve,
    compare,
    draw_rate_distortion,
    read_references,
    reference_names,
    sentences,
)
from hpcm_spectral.reports.style import save_figure

OWN = {
    "bpp": [0.15, 0.31, 0.55, 0.9],
    "psnr-rgb": [29.5, 31.9, 34.3, 36.8],
    "ms-ssim-rgb": [0.90, 0.95, 0.975, 0.985],
    "ms-ssim-rgb-db": [13.4, 15.4, 17.5, 19.7],
}


def texts(figure) -> str:
    found = [figure.get_suptitle(), figure.get_supxlabel()]
    found += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    found += [text.get_text() for axes in figure.axes for text in axes.texts]
    return "\n".join(found).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("name", reference_names())
def test_every_shipped_curve_names_its_source_and_rises(name: str) -> None:
    references = read_references(name)
    assert references.name == name
    assert references.curves
    for curve in references.curves:
        assert curve.source.startswith("https://")
        assert "published" in curve.description
        assert {len(values) for values in curve.results.values()} == {len(curve.bpp)}
        assert (np.diff(curve.bpp) > 0).all()
        for measure in ("PSNR", "MS-SSIM"):
            if key := curve.key(measure):
                quality = curve.quality(key)
                assert (np.diff(quality) > 0).all()
                assert quality.min() > 5
                assert quality.max() < 60


def test_conventional_codecs_are_known_for_kodak_alone() -> None:
    labels = {name: {curve.label for curve in read_references(name).curves} for name in reference_names()}
    assert labels["kodak"] == {"HPCM-Base", "HPCM-Large", "VTM", "HM", "BPG", "ELIC"}
    assert labels["clic_pro_valid"] == labels["tecnick"] == {"HPCM-Base", "HPCM-Large"}


def test_the_published_comparison_comes_out() -> None:
    """HPCM's authors state -19.19 % for HPCM-Large over VTM-22.0 on Kodak (README of lyq133/LIC-HPCM).

    CompressAI's VTM is another version, so that it comes near only.
    """
    references = read_references("kodak")
    large = next(curve for curve in references.curves if curve.label == "HPCM-Large" and curve.key("PSNR"))
    found = {c.reference: c.result for c in compare(large, references) if c.measure == "PSNR"}
    assert found["VTM"].percent == pytest.approx(-19.19, abs=1.5)
    assert found["HPCM-Large"].percent == pytest.approx(0, abs=1e-9)


def test_ms_ssim_is_compared_in_the_references_own_way_of_averaging() -> None:
    """HPCM's curves hold means of dB, CompressAI's mean MS-SSIM: a codec with the very same numbers is at 0 %."""
    references = read_references("kodak")
    hpcm = next(c for c in references.curves if c.label == "HPCM-Base" and c.key("MS-SSIM"))
    vtm = next(c for c in references.curves if c.label == "VTM")
    bpp, quality = vtm.results["bpp"], vtm.results["ms-ssim-rgb"]
    like_vtm = Curve("own", {"bpp": bpp, "ms-ssim-rgb": quality, "ms-ssim-rgb-db": np.linspace(10, 11, 8).tolist()})
    found = {(c.measure, c.reference): c.result for c in compare(like_vtm, references)}
    assert found["MS-SSIM", "VTM"].percent == pytest.approx(0, abs=1e-9)
    assert found["MS-SSIM", "VTM"].low == pytest.approx(-10 * np.log10(1 - min(quality)))
    like_hpcm = Curve("own", {**hpcm.results, "ms-ssim-rgb": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]})
    found = {(c.measure, c.reference): c.result for c in compare(like_hpcm, references)}
    assert found["MS-SSIM", "HPCM-Base"].percent == pytest.approx(0, abs=1e-9)
    assert ("PSNR", "VTM") not in found


def test_every_comparison_states_its_range_or_its_reason() -> None:
    references = read_references("kodak")
    found = sentences(compare(Curve("own", OWN), references))
    assert len(found) == 6 + 5
    (vtm,) = [s for s in found if s.startswith("PSNR against VTM")]
    assert "over 29.50 to 36.80 dB (100% of this curve, 36% of the reference)." in vtm
    high = sentences(compare(Curve("own", {**OWN, "psnr-rgb": [37.0, 39.0, 41.0, 43.0]}), references))
    (base,) = [s for s in high if s.startswith("PSNR against HPCM-Base")]
    assert "over 37.00 to 37.75 dB (13% of this curve, 9% of the reference); warning: the curves overlap" in base


def test_references_that_share_a_reason_share_a_sentence() -> None:
    own = {**OWN, "psnr-rgb": [31.0, 30.0, 32.0, 33.0]}
    found = sentences(compare(Curve("own", own), read_references("kodak")))
    assert len(found) == 5 + 1
    assert found[-1].startswith("PSNR against HPCM-Base, HPCM-Large, VTM, HM, BPG, ELIC: BD-rate needs a quality that")


def test_the_picture_names_everything_and_shows_all_of_the_codecs_points(tmp_path: Path) -> None:
    references = read_references("kodak")
    own = Curve("mine", OWN)
    comparisons = compare(own, references)
    path = tmp_path / FIGURE
    save_figure(draw_rate_distortion(own, references, comparisons, images="Kodak"), path)
    assert [p.name for p in tmp_path.iterdir()] == [FIGURE]
    with Image.open(path) as image:
        assert (image.format, image.width) == ("PNG", 1400)
    figure = draw_rate_distortion(own, references, comparisons, images="Kodak", notes="a note")
    text = texts(figure)
    for label in ("mine", "HPCM-Base", "HPCM-Large", "VTM", "HM", "BPG", "ELIC", "a note", "BD-rate in PSNR"):
        assert label in text
    assert [axes.get_xlabel() for axes in figure.axes] == ["rate, bits per pixel"] * 2
    for axes, key in zip(figure.axes, ("psnr-rgb", "ms-ssim-rgb-db"), strict=True):
        (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert low == 0
        for bpp, quality in zip(OWN["bpp"], OWN[key], strict=True):
            assert low < bpp < high
            assert bottom < quality < top


def test_the_panels_reach_as_far_as_learned_codecs_do_and_further_for_ones_own() -> None:
    references = read_references("kodak")
    limits = [
        draw_rate_distortion(Curve("own", {"bpp": [b], "psnr-rgb": [33.0]}), references, [], images="k").axes[0]
        for b in (0.3, 2.0)
    ]
    assert 0.8573 < limits[0].get_xlim()[1] < 1.5
    assert limits[1].get_xlim()[1] > 2.0


@pytest.mark.parametrize("label", ["own", "a $name$ {with} a_b^c and quite a number of letters " * 2])
def test_nothing_overlaps_or_is_cut(label: str) -> None:
    references = read_references("kodak")
    own = Curve(label, OWN)
    figure = draw_rate_distortion(own, references, compare(own, references), images=label, notes="note " * 60)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    boxes += [figure._suptitle.get_window_extent(renderer), figure._supxlabel.get_window_extent(renderer)]
    for index, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_without_ms_ssim_the_panel_says_so() -> None:
    own = Curve("own", {"bpp": [0.3], "psnr-rgb": [33.0]})
    figure = draw_rate_distortion(own, read_references("tecnick"), [], images="Tecnick")
    assert "not every image has an MS-SSIM" in texts(figure)
    assert "HPCM-Base" in texts(figure)


def test_the_shipped_files_are_plain_json() -> None:
    for path in FOLDER.glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))["set"] == path.stem
