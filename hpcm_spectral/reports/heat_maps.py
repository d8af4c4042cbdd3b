"""Heat maps of what each scale explains: epoch across, frequency up, as in the paper's figure 1."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hpcm_spectral.reports.style import BLUE, new_figure, say, shortened
from hpcm_spectral.runs.spectra import SpectralHistory

ROW_HEIGHT, OTHER_HEIGHT = 2.2, 1.3  # inches
NAME_LENGTH = 150
NOTE_LENGTH = 190
BAR = "share of the photographs explained"
NOTE = (
    "Colour: overlap, the share of what the photographs hold in a ring of frequencies r = √((u/H)² + (v/W)²) that "
    "the scale's contribution to the reconstruction explains. Over the scales it adds up to 1 where the "
    "reconstruction holds all of it; r is on a square-root axis. Darkest: 0 or less, the scale adds nothing or works "
    "against the photographs. Grey: they hold nothing there."
)


def draw_heat_maps(histories: Mapping[str, SpectralHistory]) -> Figure:
    """Runs side by side: a row per run and a column per scale, with the same axes and colours.

    Args:
        histories: By the runs' names; at least one.
    """
    figure = new_figure(ROW_HEIGHT * len(histories) + OTHER_HEIGHT)
    figure.suptitle("What each scale explains", fontsize=14, x=0.01, ha="left")
    # In coding order; a codec with fewer scales leaves panels empty.
    scales = list(dict.fromkeys(scale for history in histories.values() for scale in history.scales))
    limits = epoch_limits(list(histories.values()))
    panels = figure.subplots(len(histories), len(scales), squeeze=False, sharex=True, sharey=True)
    for row, (run, history) in zip(panels, histories.items(), strict=True):
        draw_scales(list(row), history, scales, limits)
        for axes in row:
            axes.label_outer()
        # The run's name runs over the whole row: the layout gives it a line's height, but not its width.
        row[0].set_title(f"\nScale {scales[0]}", loc="left", fontsize=10, fontweight="bold", parse_math=False)
        style = {"fontsize": 10, "fontweight": "bold", "color": BLUE, "parse_math": False, "annotation_clip": False}
        name = row[0].annotate(shortened(run, NAME_LENGTH), (0, 1), (0, 20), "axes fraction", "offset points", **style)
        name.set_in_layout(False)
    add_colour_bar(figure, list(panels.flat), rows=len(histories))
    add_note(figure, NOTE)
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
            say(axes, "no such scale" if len(history.epochs) else "not measured")
            continue
        overlap = history.overlap[:, history.scales.index(scale)]
        axes.pcolormesh(
            cell_edges(history.epochs),
            history.band_edges,
            np.ma.masked_invalid(overlap.T),
            cmap=colours(),
            vmin=0,
            vmax=1,
            rasterized=True,
        )


def cell_edges(epochs: Float[np.ndarray, " T"]) -> Float[np.ndarray, " edges"]:
    """Where the cells of moments end: half-way to the next, and as far beyond the first and last.

    Example:
        >>> cell_edges(np.array([2.0, 4.0, 5.0])).tolist(), cell_edges(np.array([3.0])).tolist()
        ([1.0, 3.0, 4.5, 5.5], [2.5, 3.5])
    """
    if len(epochs) == 1:
        return np.array([epochs[0] - 0.5, epochs[0] + 0.5])
    middles = (epochs[1:] + epochs[:-1]) / 2
    return np.concatenate([[2 * epochs[0] - middles[0]], middles, [2 * epochs[-1] - middles[-1]]])


def epoch_limits(histories: Sequence[SpectralHistory]) -> tuple[float, float]:
    """The epochs that the cells of all histories span."""
    edges = [cell_edges(history.epochs) for history in histories if len(history.epochs)]
    return (min(float(e[0]) for e in edges), max(float(e[-1]) for e in edges)) if edges else (0.0, 1.0)


def colours() -> Colormap:
    """Cividis, perceptually uniform and made for colour-blind readers; what cannot be measured is light grey."""
    return matplotlib.colormaps["cividis"].with_extremes(bad="#DDDDDD")


def add_colour_bar(figure: Figure, panels: list[Axes], rows: int = 1) -> None:
    """One bar for all panels, not longer than three rows of them."""
    mappable = ScalarMappable(Normalize(0, 1), colours())
    shrink = min(1.0, 3 / rows)
    bar = figure.colorbar(mappable, ax=panels, extend="both", pad=0.01, aspect=30, shrink=shrink, anchor=(0.0, 1.0))
    bar.set_label(BAR, fontsize=10)
    bar.ax.tick_params(labelsize=9)


def add_note(figure: Figure, text: str) -> None:
    """How to read the panels, below them."""
    lines = textwrap.fill(text, NOTE_LENGTH)
    figure.supxlabel(lines, fontsize=10, x=0.01, ha="left", color="#404040", parse_math=False)
