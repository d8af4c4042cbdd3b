"""Lines, markers and scales that panels of curves share, and how long, noisy series are made readable."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator, SymmetricalLogLocator

from hpcm_spectral.reports.phase_marks import Phases
from hpcm_spectral.reports.style import SCALE_STYLES, legend_above, say

LOG_RATIO = 20.0
SYMLOG_RATIO = 100.0
FAINT: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.25}
MIN_POINTS, SHARE, MAX_WINDOW = 30, 0.02, 1001


def smoothing_window(points: int) -> int:
    """How many points a smoothed one averages: about 2 % of them, odd, 1 where there are few.

    >>> smoothing_window(1000), smoothing_window(100), smoothing_window(5)
    (21, 3, 1)
    """
    return 1 if points < MIN_POINTS else min(MAX_WINDOW, 2 * max(1, round(points * SHARE / 2)) + 1)


def smoothed(series: pd.Series, window: int) -> pd.Series:
    """Mean of every value and its ``window // 2`` neighbours on either side, of fewer at the ends.

    >>> smoothed(pd.Series([1.0, 2.0, 6.0, 4.0]), 3).tolist()
    [1.5, 3.0, 4.0, 5.0]
    """
    return series.rolling(window, center=True, min_periods=1).mean()


def thinned(series: pd.Series, points: int = 4000) -> pd.Series:
    """A series, without NaN, of about ``points`` points whose curve looks the same: the extremes of every stretch."""
    if len(series) <= points:
        return series
    values, keep = series.to_numpy(), [0, len(series) - 1]
    for stretch in np.array_split(np.arange(len(series)), points // 2):
        keep += [stretch[np.argmin(values[stretch])], stretch[np.argmax(values[stretch])]]
    return series.iloc[np.unique(keep)]


def draw(axes: Axes, series: pd.Series, **style: Any) -> None:
    """A line with as many points as can be told apart."""
    few = thinned(series)
    axes.plot(few.index, few.to_numpy(), **style)


def draw_training(axes: Axes, series: pd.Series, phases: Phases, *, colour: str, raw: bool = True) -> None:
    """Every logged value, faint, and their smoothed curve."""
    points = smoothing_window(len(series))
    if points == 1:
        axes.plot(series.index, series.to_numpy(), color=colour, linewidth=1.2, marker="x", markersize=7)
        return
    if raw:
        draw(axes, series, color=colour, **FAINT)
    for part in phases.parts(series):
        draw(axes, smoothed(part, points), color=colour, linewidth=2)


def draw_scale(axes: Axes, series: pd.Series, phases: Phases, *, scale: int, points: int, label: str) -> Line2D:
    """Draw a metric of a scale, by its number from 1 on, smoothed over ``points`` rows; returns its legend entry."""
    style = scale_style(scale - 1, markersize=7.5)
    if points > 1:
        draw(axes, series, color=style["color"], **FAINT)
    for part in phases.parts(series):
        few = thinned(smoothed(part, points))
        # About eight markers along the whole line; those of different scales stand side by side where lines meet.
        every = max(1, len(few) * len(series) // (8 * len(part)))
        first = min((scale - 1) % len(SCALE_STYLES) * every // len(SCALE_STYLES), len(few) - 1)
        axes.plot(few.index, few.to_numpy(), **style, markevery=(first, every))
    return Line2D([], [], **style, label=label)


def scale_style(index: int, markersize: float) -> dict[str, Any]:
    """Colour and marker of the scale of an index, coarsest first."""
    colour, marker = SCALE_STYLES[index % len(SCALE_STYLES)]
    white_edge = {"markeredgecolor": "white", "markeredgewidth": 0.8}
    return {"color": colour, "linewidth": 1.8, "marker": marker, "markersize": markersize, **white_edge}


def draw_validation(axes: Axes, series: pd.Series, *, colour: str, marker: str) -> None:
    """Validation values with markers, not more than can be told apart."""
    every = max(1, len(series) // 40) if len(series) <= 4000 else 100
    draw(axes, series, color=colour, linewidth=1, **marker_style(colour, marker), markevery=every, zorder=3)


def marker_style(colour: str, marker: str) -> dict[str, Any]:
    """A marker; circles are open and large, so that those of y, which lie close, show inside the total's."""
    if marker == "o":
        return {"marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgecolor": colour}
    return {"marker": marker, "markersize": 11 if marker == "." else 5, "markeredgewidth": 0}


def finish(axes: Axes, drawn: Sequence[pd.Series], handles: Sequence[Line2D], *, may_be_log: bool = True) -> None:
    """Legend above and scale, or a word if nothing was drawn."""
    values = np.concatenate([np.empty(0), *drawn])
    if not len(values):
        say(axes, "not logged", ticks=False)
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
    """A scale that is linear up to about ``usual``, if that is above 0, and logarithmic beyond, if values run away."""
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
