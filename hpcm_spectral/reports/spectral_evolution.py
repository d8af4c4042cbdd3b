"""What each scale explains, over epochs and frequencies, and how scales share out rate and distortion.

The paper's figures 1 and 8, of one run or of several side by side.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from hpcm_spectral.reports import style
from hpcm_spectral.reports.lines import log_if_wide, scale_style
from hpcm_spectral.reports.phase_marks import LOOKS, Phases, legend_of_phases, mark_phases
from hpcm_spectral.reports.picture_inputs import RunFolder
from hpcm_spectral.reports.style import add_note, legend_beside, legend_label, name_axes, new_figure
from hpcm_spectral.runs.spectra import SpectralHistory

FILE_NAME = "spectral_evolution.png"
ROW_HEIGHT, OTHER_HEIGHT = 2.2, 1.3  # inches
NAME_LENGTH = 150
NOTE_LENGTH = 190
# Perceptually uniform and made for colour-blind readers; what cannot be measured is light grey.
COLOURS = matplotlib.colormaps["cividis"].with_extremes(bad="#DDDDDD")
# Lines that show on any colour.
HALO = [withStroke(linewidth=3.5, foreground="black")]
NOTE = (
    "Colour: overlap, the share of what the photographs hold in a ring of frequencies r = √((u/H)² + (v/W)²) that "
    "the scale's contribution to the reconstruction explains. Over the scales it adds up to 1 where the "
    "reconstruction holds all of it; r is on a square-root axis. Darkest: 0 or less, the scale adds nothing or works "
    "against the photographs. Grey: they hold nothing there."
)
NONE = Phases()


def draw_heat_maps(histories: Mapping[str, SpectralHistory]) -> Figure:
    """Runs by their names, at least one: a row each and a column per scale, with the same axes and colours."""
    figure = new_figure(ROW_HEIGHT * len(histories) + OTHER_HEIGHT)
    figure.suptitle("What each scale explains", fontsize=14, x=0.01, ha="left")
    # In coding order; a codec with fewer scales leaves panels empty.
    scales = list(dict.fromkeys(scale for history in histories.values() for scale in history.scales))
    limits = epoch_limits(histories.values())
    panels = figure.subplots(len(histories), len(scales), squeeze=False, sharex=True, sharey=True)
    for row, (run, history) in zip(panels, histories.items(), strict=True):
        draw_scales(list(row), history, scales, limits)
        for axes in row:
            axes.label_outer()
        # The run's name runs over the whole row: the layout gives it a line's height, but not its width.
        row[0].set_title(f"\nScale {scales[0]}", loc="left", fontsize=10, fontweight="bold", parse_math=False)
        look: dict[str, Any] = {"fontsize": 10, "fontweight": "bold", "color": style.BLUE, "parse_math": False}
        words = style.shortened(run, NAME_LENGTH)
        name = row[0].annotate(words, (0, 1), (0, 20), "axes fraction", "offset points", annotation_clip=False, **look)
        name.set_in_layout(False)
    add_colour_bar(figure, list(panels.flat), rows=len(histories))
    add_note(figure, NOTE, NOTE_LENGTH)
    return figure


def draw_scales(
    panels: Sequence[Axes], history: SpectralHistory, scales: Sequence[str], limits: tuple[float, float]
) -> None:
    """A heat map per scale of ``scales``, in panels that share their axes."""
    for axes, scale in zip(panels, scales, strict=True):
        axes.set_title(f"Scale {scale}", loc="left", fontsize=10, fontweight="bold", parse_math=False)
        axes.set_xlabel("epoch", fontsize=10)
        axes.set_ylabel("frequency r" if axes is panels[0] else "", fontsize=10)
        axes.tick_params(labelsize=9)
        axes.set_xlim(*limits)
        # Low frequencies are where a codec works first and longest; a linear axis would leave them a sliver.
        axes.set_yscale("function", functions=(lambda r: np.sqrt(np.maximum(r, 0)), np.square))
        axes.set_ylim(0, math.sqrt(2))
        axes.set_yticks([0, 0.1, 0.25, 0.5, 1, math.sqrt(2)], ["0", "0.1", "0.25", "0.5", "1", "√2"])
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        if scale not in history.scales or not len(history.epochs):
            style.say(axes, "no such scale" if len(history.epochs) else "not measured")
            continue
        overlap = history.overlap[:, history.scales.index(scale)]
        cells = (cell_edges(history.epochs), history.band_edges, np.ma.masked_invalid(overlap.T))
        axes.pcolormesh(*cells, cmap=COLOURS, vmin=0, vmax=1, rasterized=True)


def cell_edges(epochs: Float[np.ndarray, " T"]) -> Float[np.ndarray, " edges"]:
    """Where the cells of moments end: half-way to the next, and as far beyond the first and last.

    >>> cell_edges(np.array([2.0, 4.0, 5.0])).tolist(), cell_edges(np.array([3.0])).tolist()
    ([1.0, 3.0, 4.5, 5.5], [2.5, 3.5])
    """
    if len(epochs) == 1:
        return np.array([epochs[0] - 0.5, epochs[0] + 0.5])
    middles = (epochs[1:] + epochs[:-1]) / 2
    return np.concatenate([[2 * epochs[0] - middles[0]], middles, [2 * epochs[-1] - middles[-1]]])


def epoch_limits(histories: Iterable[SpectralHistory]) -> tuple[float, float]:
    """The epochs that the cells of all histories span."""
    cells = [cell_edges(history.epochs) for history in histories if len(history.epochs)]
    edges = np.concatenate(cells or [np.array([0.0, 1.0])])
    return float(edges.min()), float(edges.max())


def add_colour_bar(figure: Figure, panels: list[Axes], rows: int = 1) -> None:
    """One bar for all panels, not longer than three rows of them."""
    place: dict[str, Any] = {"pad": 0.01, "aspect": 30, "shrink": min(1.0, 3 / rows), "anchor": (0.0, 1.0)}
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), COLOURS), ax=panels, extend="both", **place)
    bar.set_label("share of the photographs explained", fontsize=10)
    bar.ax.tick_params(labelsize=9)


def draw_spectral_evolution(history: SpectralHistory, title: str, phases: Phases = NONE) -> Figure:
    """A heat map per scale, below them the rate of each scale and the PSNR of the reconstruction up to it."""
    figure = new_figure(8.6)
    grid = figure.add_gridspec(2, 1, height_ratios=(1.05, 1))
    maps = list(grid[0].subgridspec(1, len(history.scales)).subplots(sharey=True, squeeze=False)[0])
    limits = epoch_limits([history])
    draw_scales(maps, history, history.scales, limits)
    add_colour_bar(figure, maps)
    rates, qualities = grid[1].subgridspec(1, 2).subplots(squeeze=False)[0]
    name_axes(rates, title="Rate of each scale", y="bits per pixel")
    drawn = draw_scale_lines(rates, history, history.bpp)
    if len(drawn) and drawn.min() > 0:
        log_if_wide(rates, drawn)
    name_axes(qualities, title="PSNR of the reconstruction up to each scale", y="dB")
    with np.errstate(divide="ignore"):
        draw_scale_lines(qualities, history, -10 * np.log10(history.mse))
    figure.suptitle(title, fontsize=14, parse_math=False, x=0.01, ha="left")
    for span, axes in itertools.product(phases.spans, maps):
        line = LOOKS[span.key][2] if span.key in LOOKS else "-."
        for edge in (span.start, *[span.end] * span.ended):
            axes.axvline(edge, color="white", linestyle=line, linewidth=1.5, path_effects=HALO)
    for axes in (rates, qualities):
        mark_phases(axes, phases, limits[0])
        axes.set_xlim(*limits)
    legend_of_phases(figure, phases)
    add_note(figure, NOTE, NOTE_LENGTH)
    return figure


def draw_scale_lines(axes: Axes, history: SpectralHistory, values: Float[np.ndarray, "T S"]) -> Float[np.ndarray, " N"]:
    """A line per scale over the epochs; returns the finite values."""
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    finite = np.where(np.isfinite(values), values, np.nan)
    every = max(1, len(finite) // 20)
    for number, scale in enumerate(history.scales):
        look = scale_style(number, markersize=7)
        axes.plot(history.epochs, finite[:, number], **look, markevery=every, label=legend_label(scale))
    legend_beside(axes, axes.lines)
    found = values[np.isfinite(values)]
    if not len(found):
        style.say(axes, "nothing finite")
    return found


def draw_run_spectra(run: RunFolder) -> Figure | None:
    """:func:`draw_spectral_evolution` of a run folder; ``None`` if it holds no diagnostics."""
    if run.spectra is None or not len(run.spectra.epochs):
        return None
    return draw_spectral_evolution(run.spectra, run.title, run.phases)


def write_spectral_evolution(folder: Path, history: SpectralHistory) -> Path:
    """Draw what a run that goes on has measured so far into its folder, and return the file."""
    path = folder / FILE_NAME
    style.save_figure(draw_spectral_evolution(history, folder.name), path)
    return path
