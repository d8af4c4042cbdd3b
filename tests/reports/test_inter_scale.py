import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from report_folders import PHASE1, inter_scale_rows, phase_rows, training_row, write_config, write_rows

from hpcm_spectral.reports import write_run_figures
from hpcm_spectral.reports.curves import draw_curves
from hpcm_spectral.reports.picture_inputs import read_run_folder

UPPER = ["Loss", "Rate", "PSNR", "Cutoff τ"]
LOWER = ["Explained by the finer scale", "Inter-scale term", "Power"]
EXPLAINED = "spectral/explained_1_2"
TERM = "spectral/inter_scale_reg"


def drawn(folder, rows, phase1_end=2):
    write_config(folder, PHASE1.format(mask="soft", num_epochs=phase1_end) if phase1_end else "phase1: null")
    write_rows(folder, rows)
    return draw_curves(read_run_folder(folder))


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def panel(figure, title):
    return figure.axes[titles(figure).index(title)]


def entries(legend):
    return [text.get_text() for text in legend.get_texts()]


def note(figure):
    return figure.get_supxlabel()


def spans(axes):
    """Epochs of the marks behind the lines, by whether they are hatched."""
    return {bool(patch.get_hatch()): (patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches}


def bold(axes):
    return [line for line in axes.lines if line.get_linewidth() > 1.7]


def changed(rows, key, value):
    return [{**row, key: value(row) if callable(value) else value} if key in row else row for row in rows]


def columns_removed(rows, *words):
    return [{key: cell for key, cell in row.items() if not any(word in key for word in words)} for row in rows]


def test_a_third_row_with_three_panels(tmp_path):
    figure = drawn(tmp_path, inter_scale_rows())
    assert titles(figure) == UPPER + LOWER
    figure.canvas.draw()
    bottoms = [axes.get_position().y0 for axes in figure.axes]
    assert max(bottoms[4:]) < min(bottoms[:4])
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    (path,) = write_run_figures(tmp_path)[:1]
    with Image.open(path) as image:
        assert image.size == (1400, 1350)


def test_two_panels_where_power_is_not_logged(tmp_path):
    assert titles(drawn(tmp_path, columns_removed(inter_scale_rows(), "power"))) == UPPER + LOWER[:2]


@pytest.mark.parametrize("phase1_end", [0, 2])
def test_nothing_of_phase_2_without_it(tmp_path, phase1_end):
    figure = drawn(tmp_path, phase_rows(end=phase1_end), phase1_end)
    assert titles(figure) == UPPER
    assert not figure.legends
    assert "phase 2" not in note(figure).lower()
    assert figure.get_size_inches().tolist() == [14.0, 9.0]
    assert all(True not in spans(axes) for axes in figure.axes)
    legend = panel(figure, "Cutoff τ").get_legend()
    assert (entries(legend) if legend else []) == (["phase 1", "its end, epoch 2"] if phase1_end else [])


@pytest.mark.parametrize(("window", "phase1_end"), [((2, 4), 2), ((2, 5), 4), ((1, 3), 4), ((3, 5), 2)])
def test_both_windows_are_marked_in_every_panel(tmp_path, window, phase1_end):
    figure = drawn(tmp_path, inter_scale_rows(window=window, phase1_end=phase1_end), phase1_end)
    for axes in figure.axes:
        assert spans(axes) == {False: (0.0, float(phase1_end)), True: tuple(map(float, window))}
        ends = {
            line.get_linestyle(): line.get_xdata()[0] for line in axes.lines if line.get_transform() != axes.transData
        }
        assert {ends["--"], ends[":"]} == {float(phase1_end), float(window[1])}
    # What lies below the hatch stays visible.
    hatched = next(patch for patch in figure.axes[0].patches if patch.get_hatch())
    assert hatched.get_facecolor()[3] < 0.3
    (legend,) = figure.legends
    assert entries(legend) == ["phase 1", f"its end, epoch {phase1_end}", "phase 2", f"its end, epoch {window[1]}"]


def test_phase_2_by_name_alone_is_marked_without_panels(tmp_path):
    figure = drawn(tmp_path, columns_removed(inter_scale_rows(), "explained", "distance", "power", "reg", "delta"))
    assert titles(figure) == UPPER
    assert spans(figure.axes[0])[True] == (2.0, 4.0)
    assert "inter-scale term" not in note(figure)


def test_phase_2_without_phase_1(tmp_path):
    figure = drawn(tmp_path, inter_scale_rows(phase1_end=0), 0)
    assert [text.get_text() for text in panel(figure, "Cutoff τ").texts] == ["phase 1 off"]
    assert entries(figure.legends[0]) == ["phase 2", "its end, epoch 4"]
    assert "phase 1" not in note(figure)


def test_lines_are_the_logged_values(tmp_path):
    rows = inter_scale_rows(per_epoch=4)
    logged = [row for row in rows if EXPLAINED in row]
    figure = drawn(tmp_path, rows)
    found = {line.get_color(): line for line in bold(panel(figure, LOWER[0]))}
    assert len(found) == 2
    for pair, line in enumerate(found.values(), start=1):
        assert line.get_xdata().tolist() == [row["epoch"] for row in logged]
        assert line.get_ydata().tolist() == [row[f"spectral/explained_{pair}_{pair + 1}"] for row in logged]
    term, floor = (line for line in panel(figure, LOWER[1]).lines if len(line.get_xdata()) == len(logged))
    assert term.get_ydata().tolist() == [-0.1] * len(logged)
    assert floor.get_ydata().tolist() == [-0.2] * len(logged)
    assert entries(panel(figure, LOWER[1]).get_legend()) == ["term", "-2δ"]
    assert [line.get_ydata()[0] for line in bold(panel(figure, LOWER[2]))] == [1.0, 2.0, 3.0]


def test_many_rows_are_drawn_faint_and_smoothed_with_one_window_for_all_panels(tmp_path):
    figure = drawn(tmp_path, inter_scale_rows(per_epoch=50))  # 300 rows, 100 of them in phase 2
    assert "the mean of 7 rows" in note(figure)
    faint, line = panel(figure, LOWER[0]).lines[2:4]
    logged = 0.1 + 0.001 * faint.get_xdata()
    assert faint.get_alpha() < 1
    assert faint.get_ydata() == pytest.approx(logged)
    # At the ends the mean has 4 rows, not 7.
    assert line.get_ydata()[[0, 50, -1]] == pytest.approx([logged[:4].mean(), logged[47:54].mean(), logged[-4:].mean()])


def test_training_is_not_smoothed_across_the_start_or_end_of_phase_2(tmp_path):
    figure = drawn(tmp_path, inter_scale_rows(window=(2, 4), phase1_end=1, per_epoch=20), 1)
    parts = [line for line in figure.axes[0].lines if line.get_linewidth() == 2]
    assert [len(line.get_xdata()) for line in parts] == [20, 20, 40, 40]
    assert [set(line.get_ydata().round(9)) for line in parts] == [{2.0}, {2.0}, {1.5}, {2.0}]
    assert "not across a phase's start or end" in note(figure)


def test_the_footnote_says_whose_loss_contains_the_term(tmp_path):
    text = note(drawn(tmp_path, inter_scale_rows()))
    assert "In phase 2 (hatched) the training loss contains the inter-scale term" in text
    assert "the validation loss does not" in text
    assert "In phase 1 (grey) training is compared with truncated images" in text


def test_explained_axis_goes_no_higher_than_needed(tmp_path):
    figure = drawn(tmp_path, inter_scale_rows(pairs=1))
    assert panel(figure, LOWER[0]).get_ylim()[1] < 0.11
    figure = drawn(tmp_path, changed(inter_scale_rows(pairs=1), EXPLAINED, 0.002))
    assert 0.05 <= panel(figure, LOWER[0]).get_ylim()[1] < 0.06


def test_a_term_that_runs_away_leaves_the_usual_values_legible(tmp_path):
    rows = changed(inter_scale_rows(), TERM, lambda row: -(10.0 ** (4 * row["epoch"] - 8)))
    rows = changed(rows, "train/loss", lambda row: row["train/loss"] + row.get(TERM, 0.0))
    figure = drawn(tmp_path, rows)
    for title in ("Loss", "Inter-scale term"):
        assert panel(figure, title).get_yscale() == "symlog"
    assert panel(figure, "Loss").yaxis.get_transform().linthresh == 10
    figure = drawn(tmp_path, inter_scale_rows())
    assert {panel(figure, title).get_yscale() for title in ("Loss", "Inter-scale term")} == {"linear"}


def test_power_that_spans_decades_is_logarithmic_and_may_be_0(tmp_path):
    rows = changed(inter_scale_rows(), "spectral/power_2", 1e-4)
    figure = drawn(tmp_path, changed(rows, "spectral/power_3", 0.0))
    axes = panel(figure, "Power")
    assert axes.get_yscale() == "log"
    assert 1e-6 < axes.get_ylim()[0] < 1e-4
    assert panel(drawn(tmp_path, inter_scale_rows()), "Power").get_yscale() == "linear"


@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_lines_differ_in_colour_and_in_marker_and_no_text_overlaps(tmp_path, pairs):
    figure = drawn(tmp_path, inter_scale_rows(pairs=pairs))
    for title, count in ((LOWER[0], pairs), (LOWER[2], pairs + 1)):
        handles = panel(figure, title).get_legend().legend_handles
        assert len({to_hex(handle.get_color()) for handle in handles}) == count
        assert len({handle.get_marker() for handle in handles}) == count
    first = entries(panel(figure, LOWER[0]).get_legend())
    assert first == ["1-2", "2-3", "3-4", "4-5", "5-6"][:pairs]
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    texts = (figure._suptitle, figure._supxlabel, figure.legends[0])
    boxes += [text.get_window_extent(renderer) for text in texts]
    for axes in figure.axes:
        if axes.get_legend():
            title, legend = axes._left_title.get_window_extent(renderer), axes.get_legend().get_window_extent(renderer)
            assert not title.overlaps(legend)
    for index, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_a_pair_keeps_its_colour_when_others_are_left_out(tmp_path):
    all_pairs = bold(panel(drawn(tmp_path, inter_scale_rows()), LOWER[0]))
    rows = columns_removed(inter_scale_rows(), "_1_2")
    figure = drawn(tmp_path, rows)
    assert bold(panel(figure, LOWER[0]))[0].get_color() == all_pairs[-1].get_color() != all_pairs[0].get_color()
    assert entries(panel(figure, LOWER[0]).get_legend()) == ["2-3"]
    assert entries(panel(figure, LOWER[1]).get_legend()) == ["term", "-δ"]
    assert "2-3: how much of scale 2 is explained by 3" in note(figure)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_nothing_finite(tmp_path, value):
    rows = inter_scale_rows()
    for key in {key for row in rows for key in row if key.startswith("spectral/")} - {"spectral/phase", "spectral/tau"}:
        rows = changed(rows, key, value)
    figure = drawn(tmp_path, rows)
    for title in LOWER:
        assert [text.get_text() for text in panel(figure, title).texts] == ["nothing finite"]
        assert spans(panel(figure, title))[True] == (2.0, 4.0)
    assert "180 logged values are not finite" in note(figure)


def test_a_single_row(tmp_path):
    row = {
        "spectral/phase": "phase2_inter",
        TERM: -0.05,
        "spectral/delta": 0.1,
        EXPLAINED: 0.4,
        "spectral/power_1": 2.0,
    }
    figure = drawn(tmp_path, [training_row(0, 0.0, **row)], 0)
    assert titles(figure) == UPPER + LOWER
    for title, value in zip(LOWER, (0.4, -0.05, 2.0), strict=True):
        line = bold(panel(figure, title))[0]
        assert line.get_ydata().tolist() == [value]
        assert line.get_marker() not in ("", "None", None)


def test_the_first_row_of_phase_2_after_many_others_has_a_marker(tmp_path):
    rows = [row for row in inter_scale_rows(per_epoch=50) if row["epoch"] <= 2]
    assert sum(EXPLAINED in row for row in rows) == 1
    line = bold(panel(drawn(tmp_path, rows), LOWER[0]))[0]
    assert line.get_ydata().tolist() == pytest.approx([0.102])
    assert line.get_marker() == "o"
    assert line.get_markevery()[0] == 0


def test_rows_of_before_phase_2_was_known_have_empty_cells(tmp_path):
    rows = inter_scale_rows()
    for row in rows:
        if row["epoch"] < 1:
            row.pop("spectral/phase", None)
    figure = drawn(tmp_path, rows)
    assert spans(figure.axes[0])[True] == (2.0, 4.0)
    assert not any("not finite" in line for line in note(figure).splitlines())


def test_a_long_title_does_not_reach_the_legend(tmp_path):
    rows = inter_scale_rows()
    drawn(tmp_path, rows)
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("HPCM_Tiny", "A" * 90))
    figure = draw_curves(read_run_folder(tmp_path))
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    assert not figure._suptitle.get_window_extent(renderer).overlaps(figure.legends[0].get_window_extent(renderer))


def test_the_loss_is_drawn_without_the_term_where_that_was_logged(tmp_path):
    rows = inter_scale_rows()
    with_rd = [{**row, "train/rd_loss": 2.0} if "train/loss" in row else row for row in rows]
    for given, value, words in (
        (rows, 1.5, "contains the inter-scale term"),
        (with_rd, 2.0, "drawn without the inter-scale term"),
    ):
        figure = drawn(tmp_path, given)
        within = [line for line in bold(panel(figure, "Loss")) if 2 <= np.mean(line.get_xdata()) < 4]
        assert within
        assert all(np.allclose(line.get_ydata(), value) for line in within)
        assert words in note(figure)
