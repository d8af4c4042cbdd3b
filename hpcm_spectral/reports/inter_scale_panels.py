"""What phase 2 logs: how much finer scales explain, its term of the loss, the latents' power."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from hpcm_spectral.reports.lines import draw_scale, log_if_wide, symlog_if_deep
from hpcm_spectral.reports.phases import Phases, mark_phases
from hpcm_spectral.reports.smoothing import thinned
from hpcm_spectral.reports.style import BLACK, legend_above, legend_beside, name_axes, say
from hpcm_spectral.runs.metrics import (
    DELTA,
    EXPLAINED,
    INTER_SCALE_REG,
    PER_PAIR,
    POWER,
    MetricsTable,
    Series,
)

MOST_ABOVE = 3


def draw_inter_scale(figure: Figure, row: SubplotSpec, metrics: MetricsTable, phases: Phases, points: int) -> None:
    """Draw phase 2's panels: two, or three if the latents' power was logged.

    Args:
        figure: The figure.
        row: Where in it.
        metrics: Rows with anything that phase 2 logs.
        phases: What to mark, and where not to smooth across.
        points: How many rows the smoothed curves average.
    """
    panels = [panel_of_explained, panel_of_term, *([panel_of_power] if metrics.numbered(POWER) else [])]
    widths = (5, 4, 4) if len(panels) == 3 else (1, 1)
    grid = row.subgridspec(1, len(panels), width_ratios=widths)
    for column, draw in enumerate(panels):
        draw(figure.add_subplot(grid[column]), metrics, phases, points)


def panel_of_explained(axes: Axes, metrics: MetricsTable, phases: Phases, points: int) -> None:
    """Per pair of adjacent scales, the fraction of the coarser latent's power that the finer one explains."""
    name_axes(axes, title="Explained by the finer scale", x="epoch", y="fraction of the coarser scale's power")
    mark_phases(axes, phases)
    pairs = metrics.numbered(EXPLAINED)
    if not draw_scales(axes, pairs, phases, points):
        return
    values = np.concatenate([series.values for series in pairs.values()])
    top, bottom = max(0.05, float(values.max())), min(0.0, float(values.min()))
    margin = 0.03 * (top - bottom)
    axes.set_ylim(bottom - margin, top + margin)


def panel_of_term(axes: Axes, metrics: MetricsTable, phases: Phases, points: int) -> None:
    """The inter-scale term as it enters the loss, and the weight it is measured against."""
    name_axes(axes, title="Inter-scale term", x="epoch", y="part of the training loss")
    mark_phases(axes, phases)
    term, weight = metrics.series(INTER_SCALE_REG), metrics.series(DELTA)
    floor = -weight.values * count_pairs(metrics)
    if not len(term.values) + len(floor):
        say_empty(axes, [term, weight])
        return
    handles: list[Line2D] = []
    if len(term.values):
        handles.append(draw_scale(axes, term, phases, scale=1, points=points, label="term"))
    if len(floor):
        style: dict[str, Any] = {"color": BLACK, "linestyle": "-.", "linewidth": 1.4, "label": floor_name(metrics)}
        # A dash of its own shows a single value, which makes no line.
        axes.plot(*thinned(weight.epochs, floor), **style, marker="_" * (len(floor) == 1), markersize=16)
        handles.append(Line2D([], [], **style))
    legend_above(axes, handles)
    symlog_if_deep(axes, term.values, usual=-float(floor.min()) if len(floor) else 1.0)


def panel_of_power(axes: Axes, metrics: MetricsTable, phases: Phases, points: int) -> None:
    """Mean square of every scale's latent."""
    name_axes(axes, title="Power", x="epoch", y="mean square of the latent")
    mark_phases(axes, phases)
    scales = metrics.numbered(POWER)
    if not draw_scales(axes, scales, phases, points):
        return
    values = np.concatenate([series.values for series in scales.values()])
    if (values > 0).any():
        # On a logarithmic scale a power of 0 lies at the lower edge.
        log_if_wide(axes, values[values > 0])


def draw_scales(axes: Axes, found: Mapping[tuple[int, ...], Series], phases: Phases, points: int) -> bool:
    """A line per scale or pair with a legend.

    Args:
        axes: The panel.
        found: The metrics by the numbers of their scales.
        phases: Where not to smooth across.
        points: How many rows the smoothed curves average.

    Returns:
        Whether there was anything to draw; if not, the panel says so.
    """
    handles = [
        draw_scale(axes, series, phases, scale=scales[0], points=points, label="-".join(map(str, scales)))
        for scales, series in found.items()
        if len(series.values)
    ]
    if not handles:
        say_empty(axes, found.values())
        return False
    (legend_above if len(handles) <= MOST_ABOVE else legend_beside)(axes, handles)
    return True


def say_empty(axes: Axes, found: Iterable[Series]) -> None:
    """Why a panel is empty."""
    say(axes, "nothing finite" if any(series.left_out for series in found) else "not logged")
    axes.set_yticks([])


def count_pairs(metrics: MetricsTable) -> int:
    """How many pairs of scales the term adds up."""
    return max(1, len(metrics.numbered(PER_PAIR)))


def floor_name(metrics: MetricsTable) -> str:
    """Minus delta, times the number of pairs."""
    pairs = count_pairs(metrics)
    return f"-{pairs}δ" if pairs > 1 else "-δ"


def inter_scale_notes(metrics: MetricsTable) -> list[str]:
    """How to read the panels of :func:`draw_inter_scale`."""
    notes = ["Lowest row (training): scale 1 is the coarsest"]
    explained = metrics.numbered(EXPLAINED)
    if explained:
        coarse, fine = next(iter(explained))
        notes.append(f"{coarse}-{fine}: how much of scale {coarse} is explained by {fine}")
    if len(metrics.series(DELTA).values):
        notes.append(f"{floor_name(metrics)}: the term at distance 1 in every pair")
    return ["; ".join([*notes, "markers only tell lines apart."])]
