import logging
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from report_folders import PHASE1, phase_rows, training_row, truncation_record, write_config, write_rows, write_samples

from hpcm_spectral.errors import UserError
from hpcm_spectral.reports import write_run_figures
from hpcm_spectral.reports.curves import draw_curves
from hpcm_spectral.reports.phase_marks import Phases, Span
from hpcm_spectral.reports.picture_inputs import read_run_folder
from hpcm_spectral.reports.reconstructions import draw_reconstructions, middle
from hpcm_spectral.reports.spectrum import draw_spectrum
from hpcm_spectral.runs.phases import PhaseRecord, write_phases

ALL = ["curves.png", "reconstructions.png", "spectrum.png"]


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def texts(figure) -> str:
    found = [figure.get_suptitle(), figure.get_supxlabel()]
    for axes in figure.axes:
        found += [axes.get_title(), axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)]
        if axes.get_legend():
            found += [text.get_text() for text in axes.get_legend().get_texts()]
    return "\n".join(found)


def test_three_pictures_and_nothing_else(run_dir):
    before = set(run_dir.iterdir())
    written = write_run_figures(run_dir)
    assert names(written) == ALL
    assert set(run_dir.iterdir()) - before == set(written)
    for path in written:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width == 1400
            assert 300 <= image.height <= 950
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_pictures_are_replaced_and_equal(run_dir):
    first = [path.read_bytes() for path in write_run_figures(run_dir)]
    assert [path.read_bytes() for path in write_run_figures(run_dir)] == first


def test_a_failed_write_leaves_the_old_picture(run_dir):
    (run_dir / "spectrum.png").mkdir()  # cannot be replaced by a file
    with pytest.raises(OSError, match="spectrum"):
        write_run_figures(run_dir)
    assert not [path for path in run_dir.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("damaged", ["metrics.csv", "config.yaml", "samples/samples.json", "samples/two_decoded.png"])
def test_nothing_is_written_from_a_damaged_folder(run_dir, damaged):
    (run_dir / damaged).write_bytes(b"\xff\x00[{")
    with pytest.raises(UserError, match=damaged):
        write_run_figures(run_dir)
    assert not list(run_dir.glob("*.png"))


def test_without_samples(run_dir, caplog):
    (run_dir / "samples" / "samples.json").unlink()
    with caplog.at_level(logging.INFO):
        assert names(write_run_figures(run_dir)) == ["curves.png", "spectrum.png"]
    assert "reconstructions.png is skipped" in caplog.text
    assert len(draw_spectrum(read_run_folder(run_dir)).axes) == 1


def test_phase_1_off(tmp_path):
    write_config(tmp_path)
    write_rows(tmp_path, [training_row(i, i / 10, **{"spectral/phase": "baseline"}) for i in range(50)])
    assert names(write_run_figures(tmp_path)) == ["curves.png"]
    write_samples(tmp_path)
    assert names(write_run_figures(tmp_path)) == ALL
    run = read_run_folder(tmp_path)
    curves = texts(draw_curves(run))
    assert "phase 1 off" in curves
    assert "shaded" not in curves
    pictures = draw_reconstructions(run)
    assert len(pictures.axes) == 2 * 3
    assert "truncated" not in texts(pictures)
    assert len(draw_spectrum(run).axes) == 2


def test_without_rows(run_dir):
    (run_dir / "metrics.csv").unlink()
    assert names(write_run_figures(run_dir)) == ALL[1:]


@pytest.mark.parametrize("count", [1, 2])
def test_a_run_of_one_or_two_steps(tmp_path, count):
    write_config(tmp_path, PHASE1.format(mask="soft_identity", num_epochs=20))
    phase = {"spectral/phase": "phase1_intra", "spectral/tau": 0.1}
    write_rows(tmp_path, [training_row(step, step / 2, **phase) for step in range(count)])
    write_phases(tmp_path, [truncation_record("soft_identity", end=20)])
    write_samples(tmp_path, size=(5, 7))
    assert names(write_run_figures(tmp_path)) == ALL
    run = read_run_folder(tmp_path)
    curves = draw_curves(run)
    assert "its end" not in texts(curves)
    assert "Validation" not in texts(curves)
    assert [len(line.get_xdata()) for line in curves.axes[0].lines] == [count]
    assert "This run got as far as epoch" in texts(draw_reconstructions(run))


def test_rows_of_validation_only_and_of_nothing_finite(tmp_path):
    write_config(tmp_path)
    rows = [{"step": 0, "epoch": 1.0, "val/loss": 2.0}, training_row(1, 1.5, **{"train/psnr": float("nan")})]
    write_rows(tmp_path, rows[:1])
    assert names(write_run_figures(tmp_path)) == ["curves.png"]
    assert "not logged" in texts(draw_curves(read_run_folder(tmp_path)))
    write_rows(tmp_path, rows)
    assert "1 logged value is not finite" in texts(draw_curves(read_run_folder(tmp_path)))


def test_curves_mark_the_end_of_phase_1_in_every_panel(run_dir):
    figure = draw_curves(read_run_folder(run_dir))
    for axes in figure.axes:
        ends = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
        assert ends == [4.0]
    text = texts(figure)
    assert "its end, epoch 4" in text
    assert "the mean of 3 rows" in text
    assert "compared with truncated images" in text


def test_any_number_of_stages_of_a_user_s_own_is_marked_with_its_name(run_dir):
    own = [PhaseRecord(f"stages.own_{n}", f"own_{n}", 1, None, 1.0 + n / 10, None if n % 2 else 5.0) for n in range(9)]
    write_phases(run_dir, [truncation_record(ended=4.0), PhaseRecord("stages.late", "late", 9, None), *own])
    figure = draw_curves(read_run_folder(run_dir))
    for axes in figure.axes:
        shown = [text.get_text().strip() for text in axes.texts]
        assert [name for name in shown if name.startswith("own_")] == [f"own_{n}" for n in range(9)]
        bars = [p for p in axes.patches if p.get_height() < 0.1]
        assert [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars] == [
            (1.0 + n / 10, 6.0 if n % 2 else 5.0) for n in range(9)
        ]
    assert "late" not in texts(figure)
    assert "Bars at the top: when further stages acted." in texts(figure)
    # Where a stage starts or ends the curves may jump.
    assert "not across a phase's start or end" in texts(figure)
    figure.canvas.draw()


def test_rates_of_any_likelihood_names(tmp_path):
    write_config(tmp_path)
    names = [*"yabcdefg", "z$"]
    rows = [
        {"step": i, "epoch": i / 10, "train/bpp_loss": 1.0, **{f"train/{n}_bpp": 0.1 for n in names}} for i in range(5)
    ]
    write_rows(tmp_path, [*rows, {"step": 4, "epoch": 0.5, "val/bpp_loss": 1.0, "val/w_bpp": 0.2}])
    figure = draw_curves(read_run_folder(tmp_path))
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend == ["total", *"abcdefgwy", r"z\$"]
    assert len(figure.axes[1].lines) == 2 * 11
    write_rows(tmp_path, [{"step": 0, "epoch": 0.0, "train/bpp_loss": 1.0, "train/y_bpp": 1.0}])
    legend = draw_curves(read_run_folder(tmp_path)).axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["total", "y"]


def test_truncated_inputs_with_original_targets_are_said_so(run_dir):
    phase1 = PHASE1.format(mask="soft", num_epochs=4).replace("target: truncated", "target: original")
    write_config(run_dir, phase1)
    assert "training is on truncated images" in texts(draw_curves(read_run_folder(run_dir)))


def test_smoothing_does_not_reach_across_the_end():
    series = pd.Series([1.0, 1.0, 9.0, 9.0], index=[0.0, 1.0, 2.0, 3.0])
    before, after = Phases((Span("phase1", 0.0, 2.0, True),)).parts(series)
    assert before.tolist() == [1.0, 1.0]
    assert after.tolist() == [9.0, 9.0]
    (whole,) = Phases((Span("phase1", 0.0, 3.0, False),)).parts(series)
    assert whole.tolist() == series.tolist()


def test_reconstructions_show_at_most_three_samples_uncropped_when_small(tmp_path):
    write_config(tmp_path, PHASE1.format(mask="soft", num_epochs=4))
    write_phases(tmp_path, [truncation_record(began=None)])
    write_samples(tmp_path, names=("a", "b", "$c_{x", "d"))
    figure = draw_reconstructions(read_run_folder(tmp_path))
    assert len(figure.axes) == 3 * (1 + 4 + 1)
    assert figure.axes[0].images[0].get_array().shape == (72, 96, 3)
    assert "decoded\n0.5 bpp, 24.00 dB" in texts(figure)
    assert "middle" not in texts(figure)
    assert names(write_run_figures(tmp_path)) == ALL[1:]


def test_large_pictures_show_their_middle():
    image = torch.arange(1000.0).view(1, 1, 1000).expand(3, 900, 1000)
    cropped = middle(image, (320, 400))
    assert cropped.shape == (3, 320, 400)
    assert cropped[0, 0, 0] == 300


def test_pictures_of_different_sizes_are_refused(run_dir):
    Image.new("RGB", (10, 10)).save(run_dir / "samples" / "one_decoded.png")
    with pytest.raises(UserError, match=r"96x72.*10x10"):
        write_run_figures(run_dir)


def test_many_rows_are_drawn_with_few_points(tmp_path):
    write_config(tmp_path, PHASE1.format(mask="soft", num_epochs=4))
    write_rows(tmp_path, phase_rows(per_epoch=2000))
    figure = draw_curves(read_run_folder(tmp_path))
    assert max(len(line.get_xdata()) for axes in figure.axes for line in axes.lines) <= 4002


def test_no_text_is_cut_or_overlaps_in_the_curves(run_dir):
    figure = draw_curves(read_run_folder(run_dir))
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    boxes += [figure._suptitle.get_window_extent(renderer), figure._supxlabel.get_window_extent(renderer)]
    for index, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])
