"""What phase 2 logs: how much finer scales explain, its term of the loss, the latents' power."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from hpcm_spectral.reports.lines import draw, draw_scale, log_if_wide, symlog_if_deep
from hpcm_spectral.reports.phase_marks import Phases, mark_phases
from hpcm_spectral.reports.style import BLACK, legend_above, legend_beside, name_axes, say
from hpcm_spectral.runs.metrics import DELTA, EXPLAINED, INTER_SCALE_REG, PER_PAIR, POWER, MetricsTable

MOST_ABOVE = 3


def draw_inter_scale(figure: Figure, row: SubplotSpec, metrics: MetricsTable, phases: Phases, points: int) -> None:
    """Phase 2's panels: two, or three if the latents' power was logged; smoothed curves average ``points`` rows."""
    panels = [panel_of_explained, panel_of_term, *([panel_of_power] if metrics.numbered(POWER) else [])]
    widths = (5, 4, 4) if len(panels) == 3 else (1, 1)
    grid = row.subgridspec(1, len(panels), width_ratios=widths)
    for column, panel in enumerate(panels):
        panel(figure.add_subplot(grid[column]), metrics, phases, points)


def panel_of_explained(axes: Axes, metrics: MetricsTable, phases: Phases, points: int) -> None:
    """Per pair of adjacent scales, the fraction of the coarser latent's power that the finer one explains."""
    name_axes(axes, title="Explained by the finer scale", x="epoch", y="fraction of the coarser scale's power")
    mark_phases(axes, phases)
    pairs = metrics.numbered(EXPLAINED)
    if not draw_scales(axes, pairs, phases, points):
        return
    values = np.concatenate(list(pairs.values()))
    top, bottom = max(0.05, float(values.max())), min(0.0, float(values.min()))
    margin = 0.03 * (top - bottom)
    axes.set_ylim(bottom - margin, top + margin)


def panel_of_term(axes: Axes, metrics: MetricsTable, phases: Phases, points: int) -> None:
    """The inter-scale term as it enters the loss, and the weight it is measured against."""
    name_axes(axes, title="Inter-scale term", x="epoch", y="part of the training loss")
    mark_phases(axes, phases)
    term, weight = metrics.series(INTER_SCALE_REG), metrics.series(DELTA)
    pairs = count_pairs(metrics)
    floor = -weight * pairs
    if not len(term) + len(floor):
        say_empty(axes, logged=bool(metrics.rows_with(f"{INTER_SCALE_REG}|{DELTA}").any()))
        return
    handles: list[Line2D] = []
    if len(term):
        handles.append(draw_scale(axes, term, phases, scale=1, points=points, label="term"))
    if len(floor):
        style: dict[str, Any] = {"color": BLACK, "linestyle": "-.", "linewidth": 1.4, "label": floor_name(pairs)}
        # A dash of its own shows a single value, which makes no line.
        draw(axes, floor, **style, marker="_" * (len(floor) == 1), markersize=16)
        handles.append(Line2D([], [], **style))
    legend_above(axes, handles)
    symlog_if_deep(axes, term.to_numpy(), usual=-float(floor.min()) if len(floor) else 1.0)


def panel_of_power(axes: Axes, metrics: MetricsTable, phases: Phases, points: int) -> None:
    """Mean square of every scale's latent."""
    name_axes(axes, title="Power", x="epoch", y="mean square of the latent")
    mark_phases(axes, phases)
    scales = metrics.numbered(POWER)
    if not draw_scales(axes, scales, phases, points):
        return
    values = np.concatenate(list(scales.values()))
    if (values > 0).any():
        # On a logarithmic scale a power of 0 lies at the lower edge.
        log_if_wide(axes, values[values > 0])


def draw_scales(axes: Axes, found: Mapping[tuple[int, ...], pd.Series], phases: Phases, points: int) -> bool:
    """A line per scale or pair, by their numbers, with a legend; whether there was any, if not, the panel says so."""
    handles = [
        draw_scale(axes, series, phases, scale=scales[0], points=points, label="-".join(map(str, scales)))
        for scales, series in found.items()
        if len(series)
    ]
    if not handles:
        say_empty(axes, logged=bool(found))
        return False
    (legend_above if len(handles) <= MOST_ABOVE else legend_beside)(axes, handles)
    return True


def say_empty(axes: Axes, *, logged: bool) -> None:
    """Why a panel is empty."""
    say(axes, "nothing finite" if logged else "not logged")
    axes.set_yticks([])


def count_pairs(metrics: MetricsTable) -> int:
    """How many pairs of scales the term adds up."""
    return max(1, len(metrics.numbered(PER_PAIR)))


def floor_name(pairs: int) -> str:
    """Minus delta, times the number of pairs."""
    return f"-{pairs}δ" if pairs > 1 else "-δ"


def inter_scale_note(metrics: MetricsTable) -> str:
    """How to read the panels of :func:`draw_inter_scale`."""
    notes = ["Lowest row (training): scale 1 is the coarsest"]
    if explained := metrics.numbered(EXPLAINED):
        coarse, fine = next(iter(explained))
        notes.append(f"{coarse}-{fine}: how much of scale {coarse} is explained by {fine}")
    if len(metrics.series(DELTA)):
        notes.append(f"{floor_name(count_pairs(metrics))}: the term at distance 1 in every pair")
    return "; ".join([*notes, "markers only tell lines apart."])
