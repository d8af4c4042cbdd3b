"""Lines, markers and scales that panels of curves share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator, SymmetricalLogLocator

from hpcm_spectral.reports.phases import Phases
from hpcm_spectral.reports.smoothing import centred_mean, smoothing_window, thinned
from hpcm_spectral.reports.style import SCALE_STYLES, legend_above, say
from hpcm_spectral.runs.metrics import Series

LOG_RATIO = 20.0
SYMLOG_RATIO = 100.0


def draw_training(axes: Axes, series: Series, phases: Phases, *, colour: str, raw: bool = True) -> None:
    """Every logged value, faint, and their smoothed curve."""
    points = smoothing_window(len(series.values))
    if points == 1:
        axes.plot(series.epochs, series.values, color=colour, linewidth=1.2, marker="x", markersize=7)
        return
    if raw:
        draw_faint(axes, series, colour)
    for part in phases.parts(series):
        axes.plot(*thinned(part.epochs, centred_mean(part.values, points)), color=colour, linewidth=2)


def draw_faint(axes: Axes, series: Series, colour: str) -> None:
    """Every logged value."""
    axes.plot(*thinned(series.epochs, series.values), color=colour, linewidth=0.8, alpha=0.25)


def draw_scale(axes: Axes, series: Series, phases: Phases, *, scale: int, points: int, label: str) -> Line2D:
    """A metric of a scale or pair in training, told apart by colour and markers.

    Args:
        axes: The panel.
        series: The metric.
        phases: Where not to smooth across.
        scale: Number of the scale, of a pair its coarser one, from 1 on.
        points: How many values the smoothed curve averages; 1: every value is drawn as it is.
        label: Its name in the legend.

    Returns:
        What stands for it in the legend.
    """
    colour, marker = SCALE_STYLES[(scale - 1) % len(SCALE_STYLES)]
    style: dict[str, Any] = {"color": colour, "linewidth": 1.8, "marker": marker, "markersize": 7.5}
    style |= {"markeredgecolor": "white", "markeredgewidth": 0.8}
    if points > 1:
        draw_faint(axes, series, colour)
    for part in phases.parts(series):
        values = part.values if points == 1 else centred_mean(part.values, points)
        epochs, values = thinned(part.epochs, values)
        # About eight markers along the whole line; those of different scales stand side by side where lines meet.
        every = max(1, len(epochs) * len(series.values) // (8 * len(part.values)))
        first = min((scale - 1) % len(SCALE_STYLES) * every // len(SCALE_STYLES), len(epochs) - 1)
        axes.plot(epochs, values, **style, markevery=(first, every))
    return Line2D([], [], **style, label=label)


def draw_validation(axes: Axes, series: Series, *, colour: str, marker: str) -> None:
    """Validation values with markers, not more than can be told apart."""
    every = max(1, len(series.values) // 40)
    axes.plot(
        *thinned(series.epochs, series.values),
        color=colour,
        linewidth=1,
        **marker_style(colour, marker),
        markevery=every if len(series.values) <= 4000 else 100,
        zorder=3,
    )


def marker_style(colour: str, marker: str) -> dict[str, Any]:
    """A marker; circles are open and large, so that those of y, which lie close, show inside the total's."""
    if marker == "o":
        return {"marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgecolor": colour}
    return {"marker": marker, "markersize": 11 if marker == "." else 5, "markeredgewidth": 0}


def finish(axes: Axes, drawn: Sequence[Series], handles: Sequence[Line2D], *, may_be_log: bool = True) -> None:
    """Legend above and scale, or a word if nothing was drawn."""
    values = np.concatenate([np.empty(0), *(series.values for series in drawn)])
    if not len(values):
        say(axes, "not logged")
        axes.set_yticks([])
        return
    legend_above(axes, handles)
    if may_be_log and values.min() > 0:
        log_if_wide(axes, values)


def log_if_wide(axes: Axes, values: Float[np.ndarray, " N"]) -> None:
    """A logarithmic scale if the values, all above 0, need one."""
    if values.max() <= LOG_RATIO * values.min():
        return
    axes.set_yscale("log")
    wide = values.max() > 1000 * values.min()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=12))
    _plain_ticks(axes)


def symlog_if_deep(axes: Axes, values: Float[np.ndarray, " N"], usual: float) -> None:
    """A scale that is linear up to about ``usual`` and logarithmic beyond, if values run away below 0.

    Args:
        axes: The panel.
        values: What it shows.
        usual: Size of the values that must stay legible; nothing happens if it is not above 0.
    """
    if not (usual > 0 and len(values) and values.min() < -SYMLOG_RATIO * usual):
        return
    linear = float(10.0 ** np.ceil(np.log10(usual)))
    axes.set_yscale("symlog", linthresh=linear, linscale=2)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=linear))
    _plain_ticks(axes)


def _plain_ticks(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
