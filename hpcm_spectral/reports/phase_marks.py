"""Which stage of a run acted when, as the panels of curves show it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hpcm_spectral.reports.style import BLACK, GREY, HATCH, SHADE, shortened
from hpcm_spectral.runs.phases import PhaseRecord

# How a phase is drawn: its span, its name and the line at its end. A stage of a user's own gets a labelled bar instead.
LOOKS: dict[str, tuple[dict[str, Any], str, Literal["--", ":"]]] = {
    "phase1": ({"color": SHADE, "linewidth": 0}, "phase 1", "--"),
    "phase2": (HATCH, "phase 2", ":"),
}
BAR_HEIGHT, BAR_ROWS, NAME_LENGTH = 0.055, 6, 40


class Span(NamedTuple):
    """When a stage acted, in epochs; ``ended`` unless it still acts where the run stands."""

    key: str
    start: float
    end: float
    ended: bool

    def of(self, series: pd.Series) -> pd.Series:
        """The values of a metric while it acted."""
        last = series.index < self.end if self.ended else series.index <= self.end
        return series[(series.index >= self.start) & last]


@dataclass(frozen=True)
class Phases:
    """The stages that acted in a run, in the order of its config."""

    spans: tuple[Span, ...] = ()

    def of(self, key: str) -> Span | None:
        """The span of ``phase1``, ``phase2`` or another stage; None if it did not act."""
        return next((span for span in self.spans if span.key == key), None)

    def parts(self, series: pd.Series) -> list[pd.Series]:
        """The series cut where a stage starts or ends, as smoothing over the jump there would hide it."""
        edges = sorted({edge for span in self.spans for edge in (span.start, *[span.end] * span.ended)})
        cuts = [0, *np.searchsorted(series.index, edges).tolist(), len(series)]
        return [series.iloc[a:b] for a, b in pairwise(cuts) if a < b]


def phases_from(records: Iterable[PhaseRecord], newest: float) -> Phases:
    """What acted in a run that has come as far as epoch ``newest``."""
    spans = []
    for record in records:
        if record.began is None:
            continue
        # A run that stops with a stage's window logs no step after it.
        planned = record.end if record.end is not None and record.end <= newest else None
        end = planned if record.ended is None else record.ended
        spans.append(Span(record.key, record.began, newest if end is None else end, end is not None))
    return Phases(tuple(spans))


def mark_phases(axes: Axes, phases: Phases, first: float = -math.inf) -> None:
    """Shade phase 1, hatch phase 2 and mark their ends; further stages are named bars at the top, from ``first`` on."""
    for span in phases.spans:
        if span.key in LOOKS:
            look, _, line = LOOKS[span.key]
            axes.axvspan(span.start, span.end, **look, zorder=0)
            if span.ended:
                axes.axvline(span.end, color=BLACK, linestyle=line, linewidth=1.2, zorder=1)
    for row, span in enumerate(span for span in phases.spans if span.key not in LOOKS and span.end > first):
        top, start = 1 - BAR_HEIGHT * (row % BAR_ROWS), max(span.start, first)
        bottom = top - 0.8 * BAR_HEIGHT
        axes.axvspan(start, span.end, bottom, top, facecolor="white", edgecolor=GREY, zorder=1)
        name = shortened(span.key.removeprefix("stages."), NAME_LENGTH)
        style: dict[str, Any] = {"fontsize": 7, "va": "center", "clip_on": True, "parse_math": False, "zorder": 4}
        axes.text(start, (bottom + top) / 2, f" {name}", transform=axes.get_xaxis_transform(), **style)


def phase_handles(phases: Phases) -> list[Line2D | Patch]:
    """What the shades and lines of :func:`mark_phases` mean, for a legend."""
    handles: list[Line2D | Patch] = []
    for key, (look, name, line) in LOOKS.items():
        if span := phases.of(key):
            denser = {"hatch": "///", "linewidth": 0.8} if "hatch" in look else {}
            handles.append(Patch(**{**look, **denser}, label=name))
            if span.ended:
                label = f"its end, epoch {span.end:.4g}"
                handles.append(Line2D([], [], color=BLACK, linestyle=line, label=label))
    return handles


def legend_of_phases(figure: Figure, phases: Phases) -> None:
    """A legend for all panels, at the top right."""
    if handles := phase_handles(phases):
        figure.legend(handles=handles, loc="outside upper right", ncol=len(handles), frameon=False, fontsize=10)
