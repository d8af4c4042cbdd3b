"""Curves of several runs in one panel, and their points of rate and distortion."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hpcm_spectral.reports.comparison.groups import Group
from hpcm_spectral.reports.comparison.lambda_curves import LambdaCurve
from hpcm_spectral.reports.comparison.runs import ComparedRun
from hpcm_spectral.reports.lines import log_if_wide
from hpcm_spectral.reports.smoothing import thinned
from hpcm_spectral.reports.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    TAU_DASHES,
    VERMILION,
    name_axes,
    new_figure,
)
from hpcm_spectral.runs.metrics import Series

# As wide as a column of the page: on a phone the letters shrink to half, not to a quarter.
WIDTH, HEIGHT, LINE_HEIGHT = 5.6, 3.6, 0.21
SKY = "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, BLACK, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FEW_POINTS = 30
# Characters of a legend's entry that fit where two stand side by side.
HALF_LABEL = 25


def draw_validation_of(groups: Sequence[Group], key: str, *, title: str, y: str, may_be_log: bool) -> Figure | None:
    """A metric of the validations of all runs against epochs; runs of a group share a style.

    Args:
        groups: The runs.
        key: The metric, without ``val/``.
        title: Of the panel.
        y: Of its vertical axis.
        may_be_log: Whether it may have a logarithmic scale.

    Returns:
        None if no run has it.
    """
    series = [[run.validation(key) for run in group.runs] for group in groups]
    return _draw(groups, series, title=title, y=y, may_be_log=may_be_log)


def draw_tau_of(groups: Sequence[Group]) -> Figure | None:
    """The cutoff of phase 1 against epochs; None if it acted in no run."""
    series = [[run.metrics.tau() for run in group.runs] for group in groups]
    # A cutoff holds until the next one is logged.
    return _draw(groups, series, title="Cutoff τ of phase 1", y="τ", may_be_log=False, drawstyle="steps-post")


def _draw(
    groups: Sequence[Group],
    series: Sequence[Sequence[Series]],
    *,
    title: str,
    y: str,
    may_be_log: bool,
    **more: Any,
) -> Figure | None:
    drawn = [index for index, own in enumerate(series) if any(len(one.values) for one in own)]
    if not drawn:
        return None
    labels = [_counted(groups[index]) for index in drawn]
    figure, axes = _panel(labels, title=title, x="epoch", y=y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for index in drawn:
        for one in series[index]:
            marker = MARKERS[index % len(MARKERS)] if len(one.values) <= FEW_POINTS else ""
            axes.plot(*thinned(one.epochs, one.values), **_style(index), marker=marker, **more)
    values = np.concatenate([one.values for own in series for one in own])
    if may_be_log and values.min() > 0:
        log_if_wide(axes, values)
    _legend(figure, drawn, labels)
    return figure


def draw_rate_distortion_of(curves: Sequence[LambdaCurve], key: str, *, title: str, y: str) -> Figure | None:
    """A quality against estimated bits per pixel, a line per curve; None if no curve has it.

    Args:
        curves: The curves.
        key: The quality's name in `LambdaCurve.curve`.
        title: Of the panel.
        y: Of its vertical axis.
    """
    drawn = [(index, curve.curve) for index, curve in enumerate(curves) if key in curve.curve.results]
    if not drawn:
        return None
    labels = [curve.label for _, curve in drawn]
    figure, axes = _panel(labels, title=title, x="estimated bits per pixel", y=y)
    for index, curve in drawn:
        order = np.argsort(curve.bpp)
        axes.plot(curve.bpp[order], curve.quality(key)[order], **_style(index), marker=MARKERS[index % len(MARKERS)])
    _legend(figure, [index for index, _ in drawn], labels)
    return figure


def _panel(labels: Sequence[str], *, title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure with room for a legend of ``labels`` below its panel."""
    figure = new_figure(HEIGHT + LINE_HEIGHT * -(-len(labels) // _columns(labels)), WIDTH)
    axes = figure.subplots()
    name_axes(axes, title=title, x=x, y=y)
    return figure, axes


def _columns(labels: Sequence[str]) -> int:
    return 1 if len(labels) <= 3 or max(map(len, labels)) > HALF_LABEL else 2


def _style(index: int) -> dict[str, Any]:
    """Colour and dashes of a group: 28 that differ, then the first again."""
    # Neighbours differ in dashes too; each round of colours takes the next ones.
    dashes = TAU_DASHES[(2 * index + index // len(COLOURS)) % len(TAU_DASHES)]
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": dashes, "linewidth": 1.6, "markersize": 5}


def _legend(figure: Figure, indices: Sequence[int], labels: Sequence[str]) -> None:
    handles = [
        # A pair of dollars would be set as mathematics.
        Line2D([], [], **_style(index), marker=MARKERS[index % len(MARKERS)], label=label.replace("$", r"\$"))
        for index, label in zip(indices, labels, strict=True)
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncol=_columns(labels), frameon=False, fontsize=10, handlelength=4.0
    )


def _counted(group: Group) -> str:
    runs: Sequence[ComparedRun] = group.runs
    return f"{group.label} ({len(runs)} seeds)" if runs[1:] else group.label
