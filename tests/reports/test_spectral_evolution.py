"""Heat maps show the measured values where they belong, and stay readable in odd cases."""

from pathlib import Path

import numpy as np
import pytest
from compared_runs import write_run
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from hpcm_spectral.errors import UserError
from hpcm_spectral.reports import draw_heat_maps, draw_spectral_evolution, write_run_figures
from hpcm_spectral.reports.comparison import compare_runs
from hpcm_spectral.reports.comparison.figures import draw_spectra
from hpcm_spectral.runs.spectra import SpectralHistory, read_spectral_history

BANDS = 8


def history(epochs: list[float], scales: tuple[str, ...] = ("z", "1", "2", "3"), bad: bool = False) -> SpectralHistory:
    rng = np.random.default_rng(len(epochs))
    shape = (len(epochs), len(scales))
    overlap = rng.random((*shape, BANDS))
    overlap[..., -1] = np.nan
    mse = np.full(shape, np.nan) if bad else 0.01 / (1 + rng.random(shape))
    edges = np.linspace(0, np.sqrt(2), BANDS + 1)
    return SpectralHistory(
        np.array(epochs, dtype=float), scales, edges, np.ones(BANDS), overlap**2, overlap, rng.random(shape), mse
    )


def meshes(figure: Figure) -> list[QuadMesh]:
    found = [c for axes in figure.axes for c in axes.collections if isinstance(c, QuadMesh)]
    return [mesh for mesh in found if mesh.get_array().shape[0] == BANDS]


def assert_nothing_is_cut_or_overlaps(figure: Figure) -> None:
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    boxes += [figure._suptitle.get_window_extent(renderer), figure._supxlabel.get_window_extent(renderer)]
    boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    for index, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_a_panel_per_scale_shows_its_overlap_at_its_epochs_and_frequencies() -> None:
    measured = history([2.0, 4.0, 5.0])
    figure = draw_spectral_evolution(measured, "a run")
    assert [axes.get_title(loc="left") for axes in figure.axes[:4]] == ["Scale z", "Scale 1", "Scale 2", "Scale 3"]
    for number, mesh in enumerate(meshes(figure)):
        shown = mesh.get_array()
        np.testing.assert_array_equal(shown[:-1], measured.overlap[:, number, :-1].T)
        assert shown.mask[-1].all()
        assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 1)
        corners = mesh.get_coordinates()
        assert corners[0, :, 0].tolist() == [1.0, 3.0, 4.5, 5.5]
        np.testing.assert_allclose(corners[:, 0, 1], measured.band_edges)
    rate, quality = figure.axes[-2:]
    for number in range(4):
        np.testing.assert_array_equal(rate.lines[number].get_ydata(), measured.bpp[:, number])
        np.testing.assert_allclose(quality.lines[number].get_ydata(), 10 * np.log10(1 / measured.mse[:, number]))
    assert_nothing_is_cut_or_overlaps(figure)


@pytest.mark.parametrize("bad", [False, True])
def test_one_moment_is_readable_even_where_training_has_failed(bad: bool) -> None:
    figure = draw_spectral_evolution(history([7.0], bad=bad), "a run")
    figure.canvas.draw()
    for axes in figure.axes[:4]:
        assert axes.get_xlim() == (6.5, 7.5)
        assert [tick for tick in axes.get_xticks() if 6.5 <= tick <= 7.5] == [7]
    words = [text.get_text() for text in figure.axes[-1].texts]
    assert words == (["nothing finite"] if bad else [])
    assert_nothing_is_cut_or_overlaps(figure)


def test_runs_side_by_side_share_axes_and_colours_and_scales_stand_below_each_other() -> None:
    long = (
        "schedule=exponential,schedule.tau_init=0.05,phase2=inter_scale,phase2.delta=0.1,seed=3,$loss.lmbda_{=0.01" * 2
    )
    runs = {long: history([1.0, 2.0]), "four scales": history([2.0, 4.0], ("1", "2", "3", "4"))}
    figure = draw_heat_maps(runs)
    panels = figure.axes[:10]
    assert {axes.get_xlim() for axes in panels} == {(0.5, 5.0)}
    assert [axes.get_title(loc="left").strip() for axes in panels[:5]] == [f"Scale {s}" for s in ("z", *"1234")]
    empty = [n for n, axes in enumerate(panels) if "no such scale" in [text.get_text() for text in axes.texts]]
    assert empty == [4, 5]
    assert {(mesh.norm.vmin, mesh.norm.vmax) for mesh in meshes(figure)} == {(0, 1)}
    assert len(meshes(figure)) == 8
    np.testing.assert_array_equal(meshes(figure)[4].get_array()[:-1], runs["four scales"].overlap[:, 0, :-1].T)
    assert_nothing_is_cut_or_overlaps(draw_heat_maps({str(n): history([1.0, 2.0]) for n in range(8)}))


def test_a_run_folder_gets_the_picture_with_the_end_of_its_phase(run_dir: Path) -> None:
    history([2.0, 4.0, 6.0]).write(run_dir)
    assert "spectral_evolution.png" in [path.name for path in write_run_figures(run_dir)]
    read = read_spectral_history(run_dir)
    assert read is not None
    assert read.epochs.tolist() == [2, 4, 6]


def test_nothing_is_drawn_from_a_folder_with_damaged_diagnostics(run_dir: Path) -> None:
    (run_dir / "diagnostics").mkdir()
    (run_dir / "diagnostics/spectral.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match="spectral.npz must hold spectral diagnostics"):
        write_run_figures(run_dir)
    assert not list(run_dir.glob("*.png"))


def test_a_report_shows_the_first_run_of_each_config_that_has_diagnostics_intact(tmp_path: Path) -> None:
    for name, lmbda, seed in (("a0", 0.01, 0), ("a1", 0.01, 1), ("b", 0.02, 0), ("c", 0.03, 0)):
        write_run(tmp_path / name, [5, 4], lmbda=lmbda, seed=seed)
    comparison = compare_runs([str(tmp_path)])
    assert draw_spectra(comparison) is None
    for name in ("a0", "a1", "b", "c"):
        history([1.0, 2.0]).write(tmp_path / name)
    (tmp_path / "a0/diagnostics/spectral.npz").write_bytes(b"PK")
    figure = draw_spectra(comparison)
    assert figure is not None
    words = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"a1", "b", "c"} <= words
    assert "a0" not in words
