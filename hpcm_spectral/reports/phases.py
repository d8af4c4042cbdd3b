"""Which phase acted when, as the panels of curves show it."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hpcm_spectral.reports.run_folder import RunFolder
from hpcm_spectral.reports.style import BLACK, HATCH, SHADE
from hpcm_spectral.runs.metrics import PhaseWindow, Series

EndStyle = Literal["--", ":"]
END_OF_ONE: EndStyle = "--"
END_OF_TWO: EndStyle = ":"


@dataclass(frozen=True)
class Phases:
    """When the phases of a run acted; ``None`` for one that did not."""

    one: PhaseWindow | None
    two: PhaseWindow | None

    def parts(self, series: Series) -> list[Series]:
        """The series cut where a phase starts or ends, as smoothing over the jump there would hide it."""
        edges = sorted({edge for window in (self.one, self.two) if window for edge in window.edges})
        cuts = [0, *np.searchsorted(series.epochs, edges).tolist(), len(series.epochs)]
        rows = np.arange(len(series.epochs))
        return [series.part((rows >= a) & (rows < b)) for a, b in pairwise(cuts) if a < b]


def phases_of(run: RunFolder) -> Phases:
    """The phases of a run that has rows."""
    assert run.metrics is not None
    end = run.truncation.end_epoch if run.truncation else None
    return Phases(run.metrics.phase_one(end), run.metrics.phase_two(*run.phase2_plan))


def mark_phases(axes: Axes, phases: Phases) -> None:
    """Shade phase 1, hatch phase 2 and mark their ends."""
    for window, look, end in (
        (phases.one, {"color": SHADE, "linewidth": 0}, END_OF_ONE),
        (phases.two, HATCH, END_OF_TWO),
    ):
        if window is None:
            continue
        axes.axvspan(window.start, window.end, **look, zorder=0)
        if window.ended:
            axes.axvline(window.end, color=BLACK, linestyle=end, linewidth=1.2, zorder=1)


def phase_handles(phases: Phases) -> list[Line2D | Patch]:
    """What the marks of :func:`mark_phases` mean, for a legend."""
    handles: list[Line2D | Patch] = []
    if phases.one is not None:
        handles.append(Patch(color=SHADE, label="phase 1"))
        if phases.one.ended:
            handles.append(_end(END_OF_ONE, phases.one))
    if phases.two is not None:
        handles.append(Patch(**{**HATCH, "hatch": "///", "linewidth": 0.8}, label="phase 2"))
        if phases.two.ended:
            handles.append(_end(END_OF_TWO, phases.two))
    return handles


def legend_of_phases(figure: Figure, phases: Phases) -> None:
    """A legend for all panels, at the top right."""
    handles = phase_handles(phases)
    figure.legend(handles=handles, loc="outside upper right", ncol=len(handles), frameon=False, fontsize=10)


def _end(linestyle: EndStyle, window: PhaseWindow) -> Line2D:
    return Line2D([], [], color=BLACK, linestyle=linestyle, label=f"its end, epoch {window.end:.4g}")
