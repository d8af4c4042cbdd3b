"""Loss, rate, PSNR and cutoff of a run against epochs, and what phase 2 logs, if it logged anything."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hpcm_spectral.reports import lines, style
from hpcm_spectral.reports.phase_marks import LOOKS, Phases, legend_of_phases, mark_phases, phase_handles
from hpcm_spectral.reports.picture_inputs import RunFolder
from hpcm_spectral.reports.style import BLACK, BLUE, VERMILION, legend_above, legend_beside, legend_label, name_axes
from hpcm_spectral.runs.metrics import (
    DELTA,
    EXPLAINED,
    INTER_SCALE,
    INTER_SCALE_REG,
    PER_PAIR,
    POWER,
    TAU,
    MetricsTable,
)

TITLE_LENGTH = 60
MOST_ABOVE = 3
RD_LOSS = "train/rd_loss"
COUNTED = f"(?:train|val)/(?:loss|psnr|.*bpp(?:_loss)?)|{INTER_SCALE}"


def draw_curves(run: RunFolder) -> Figure | None:
    """Four panels: loss, rate, PSNR, tau; below them those of phase 2 if it logged anything. None without rows."""
    metrics, phases = run.metrics, run.phases
    if not metrics:
        return None
    drawings: list[Callable[[Axes, MetricsTable, Phases], None]]
    drawings = [partial(panel_of_one, key="loss"), panel_of_rates, partial(panel_of_one, key="psnr"), panel_of_tau]
    if metrics.rows_with(INTER_SCALE).any():
        figure = style.new_figure(13.5)
        # Nested, as the lowest row has other columns.
        grid = figure.add_gridspec(2, 1, height_ratios=(2, 1))
        grid[0].subgridspec(2, 2).subplots(squeeze=False)
        lowest = [panel_of_explained, panel_of_term, *([panel_of_power] if metrics.numbered(POWER) else [])]
        widths = (5, 4, 4) if len(lowest) == 3 else (1, 1)
        grid[1].subgridspec(1, len(lowest), width_ratios=widths).subplots(squeeze=False)
        drawings += lowest
    else:
        figure = style.new_figure(9.0)
        figure.subplots(2, 2)
    for axes, draw in zip(figure.axes, drawings, strict=True):
        mark_phases(axes, phases)
        draw(axes, metrics, phases)
    if phases.of("phase2") is None:
        figure.suptitle(run.title, fontsize=14, parse_math=False)
        legend_above(figure.axes[3], phase_handles(phases))
    else:
        # Left of the legend, which needs half of the width.
        size = 14 * min(1.0, TITLE_LENGTH / len(run.title))
        figure.suptitle(run.title, fontsize=size, parse_math=False, x=0.01, ha="left")
        legend_of_phases(figure, phases)
    epochs = metrics.epochs[np.isfinite(metrics.epochs)]
    first, last = (float(epochs.min()), float(epochs.max())) if len(epochs) else (0.5, 0.5)
    margin = 0.02 * (last - first) or 0.5
    for axes in figure.axes:
        axes.set_xlim(first - margin, last + margin)
    style.add_note(figure, footnote(run))
    return figure


def panel_of_one(axes: Axes, metrics: MetricsTable, phases: Phases, *, key: Literal["loss", "psnr"]) -> None:
    """A metric in training and in validation."""
    name_axes(axes, title={"loss": "Loss", "psnr": "PSNR"}[key], y={"loss": "loss", "psnr": "dB"}[key])
    handles = []
    train = metrics.series(RD_LOSS if key == "loss" and without_term(metrics, phases) else f"train/{key}")
    val = metrics.series(f"val/{key}")
    if len(train):
        lines.draw_training(axes, train, phases, colour=BLUE)
        handles.append(Line2D([], [], color=BLUE, linewidth=2, label="training"))
    if len(val):
        lines.draw_validation(axes, val, colour=VERMILION, marker=".")
        handles.append(Line2D([], [], color=VERMILION, label="validation", **lines.marker_style(VERMILION, ".")))
    lines.finish(axes, [train, val], handles, may_be_log=key != "psnr")
    if key == "loss" and phases.of("phase2"):
        values = np.concatenate([train, val])
        lines.symlog_if_deep(axes, values, usual=float(values.max(initial=0.0)))


def without_term(metrics: MetricsTable, phases: Phases) -> bool:
    """Whether the loss can be drawn without the inter-scale term, so that it compares with validation's."""
    return phases.of("phase2") is not None and len(metrics.series(RD_LOSS)) > 0


def panel_of_rates(axes: Axes, metrics: MetricsTable, phases: Phases) -> None:
    """Bits per pixel: all, and of each likelihood, in training and in validation."""
    name_axes(axes, title="Rate", y="bits per pixel")
    handles, drawn = [], []
    looks = zip(metrics.rate_names, cycle(style.SCALE_STYLES[1:]))
    parts = [(f"{name}_bpp", legend_label(name), *look) for name, look in looks]
    for key, label, colour, marker in [("bpp_loss", "total", BLUE, "o"), *parts]:
        train, val = metrics.series(f"train/{key}"), metrics.series(f"val/{key}")
        lines.draw_training(axes, train, phases, colour=colour, raw=key == "bpp_loss")
        lines.draw_validation(axes, val, colour=colour, marker=marker)
        drawn += [train, val]
        if len(train) or len(val):
            marked = lines.marker_style(colour, marker) if len(val) else {}
            handles.append(Line2D([], [], color=colour, linewidth=2, label=label, **marked))
    lines.finish(axes, drawn, handles)


def panel_of_tau(axes: Axes, metrics: MetricsTable, phases: Phases) -> None:
    """The cutoff while phase 1 acts."""
    name_axes(axes, title="Cutoff τ", y="τ")
    one = phases.of("phase1")
    if one is None or not len(tau := one.of(metrics.series(TAU))):
        style.say(axes, "phase 1 off" if one is None else "phase 1 logged no τ", ticks=False)
        return
    # A cutoff holds until the next one is logged.
    lines.draw(axes, tau, color=BLUE, linewidth=2, drawstyle="steps-post", marker="o" * (len(tau) <= 2))
    axes.set_ylim(0, max(1.0, float(tau.max())) * 1.05)


def panel_of_explained(axes: Axes, metrics: MetricsTable, phases: Phases) -> None:
    """Per pair of adjacent scales, the fraction of the coarser latent's power that the finer one explains."""
    name_axes(axes, title="Explained by the finer scale", y="fraction of the coarser scale's power")
    # Beside this title there is room for two.
    values = draw_scales(axes, metrics.numbered(EXPLAINED), phases, smoothed_rows(metrics), most_above=2)
    if len(values):
        top, bottom = max(0.05, float(values.max())), min(0.0, float(values.min()))
        margin = 0.03 * (top - bottom)
        axes.set_ylim(bottom - margin, top + margin)


def panel_of_term(axes: Axes, metrics: MetricsTable, phases: Phases) -> None:
    """The inter-scale term as it enters the loss, and the weight it is measured against."""
    name_axes(axes, title="Inter-scale term", y="part of the training loss")
    term, weight = metrics.series(INTER_SCALE_REG), metrics.series(DELTA)
    pairs = count_pairs(metrics)
    floor = -weight * pairs
    if not len(term) + len(floor):
        say_empty(axes, logged=bool(metrics.rows_with(f"{INTER_SCALE_REG}|{DELTA}").any()))
        return
    handles: list[Line2D] = []
    if len(term):
        points = smoothed_rows(metrics)
        handles.append(lines.draw_scale(axes, term, phases, scale=1, points=points, label="term"))
    if len(floor):
        look: dict[str, Any] = {"color": BLACK, "linestyle": "-.", "linewidth": 1.4, "label": floor_name(pairs)}
        # A dash of its own shows a single value, which makes no line.
        lines.draw(axes, floor, **look, marker="_" * (len(floor) == 1), markersize=16)
        handles.append(Line2D([], [], **look))
    legend_above(axes, handles)
    lines.symlog_if_deep(axes, term.to_numpy(), usual=-float(floor.min()) if len(floor) else 1.0)


def panel_of_power(axes: Axes, metrics: MetricsTable, phases: Phases) -> None:
    """Mean square of every scale's latent."""
    name_axes(axes, title="Power", y="mean square of the latent")
    values = draw_scales(axes, metrics.numbered(POWER), phases, smoothed_rows(metrics))
    if (values > 0).any():
        # On a logarithmic scale a power of 0 lies at the lower edge.
        lines.log_if_wide(axes, values[values > 0])


def draw_scales(
    axes: Axes,
    found: Mapping[tuple[int, ...], pd.Series],
    phases: Phases,
    points: int,
    most_above: int = MOST_ABOVE,
) -> np.ndarray:
    """A line per scale or pair, by their numbers, with a legend; returns the values, or the panel says why not."""
    handles = [
        lines.draw_scale(axes, series, phases, scale=scales[0], points=points, label="-".join(map(str, scales)))
        for scales, series in found.items()
        if len(series)
    ]
    if handles:
        (legend_above if len(handles) <= most_above else legend_beside)(axes, handles)
    else:
        say_empty(axes, logged=bool(found))
    return np.concatenate([np.empty(0), *found.values()])


def say_empty(axes: Axes, *, logged: bool) -> None:
    """Why a panel is empty."""
    style.say(axes, "nothing finite" if logged else "not logged", ticks=False)


def smoothed_rows(metrics: MetricsTable) -> int:
    """How many rows the smoothed curves average."""
    return lines.smoothing_window(len(metrics.series("train/loss")))


def count_pairs(metrics: MetricsTable) -> int:
    """How many pairs of scales the term adds up."""
    return max(1, len(metrics.numbered(PER_PAIR)))


def floor_name(pairs: int) -> str:
    """Minus delta, times the number of pairs."""
    return f"-{pairs}δ" if pairs > 1 else "-δ"


def footnote(run: RunFolder) -> str:
    """How to read the panels."""
    metrics, phases = run.metrics, run.phases
    one, two = (phases.of(key) is not None for key in LOOKS)
    own = len(phases.spans) > one + two
    text = "Training: crosses, every logged row."
    if (points := smoothed_rows(metrics)) > 1:
        across = ", not across a phase's start or end" if two or own else ", not across phase 1's end" if one else ""
        text = (
            f"Training: faint, every logged row (of the rate: its total); bold, the mean of {points} rows "
            f"around each{across}."
        )
    if len(metrics.series("val/loss")):
        text += " Validation: circles, squares and triangles."
    notes = [text]
    if one:
        truncated = run.truncation is None or run.truncation.target == "truncated"
        against = "compared with truncated images" if truncated else "on truncated images"
        shaded = "grey" if two else "shaded"
        notes.append(f"In phase 1 ({shaded}) training is {against}: its curves do not compare with validation there.")
    if two and without_term(metrics, phases):
        notes.append(
            "In phase 2 (hatched) the training loss is drawn without the inter-scale term, as validation has none."
        )
    elif two and metrics.rows_with(INTER_SCALE_REG).any():
        notes.append(
            "In phase 2 (hatched) the training loss contains the inter-scale term, which is negative; the "
            "validation loss does not."
        )
    elif two:
        notes.append("Phase 2 is hatched.")
    if own:
        notes.append("Bars at the top: when further stages acted.")
    if metrics.rows_with(INTER_SCALE).any():
        about = ["Lowest row (training): scale 1 is the coarsest"]
        if explained := metrics.numbered(EXPLAINED):
            coarse, fine = next(iter(explained))
            name = f"scale {coarse}" if coarse else "the learned bias before it"
            about.append(f"{coarse}-{fine}: how much of {name} is explained by {fine}")
        if len(metrics.series(DELTA)):
            about.append(f"{floor_name(count_pairs(metrics))}: the term at distance 1 in every pair")
        notes.append("; ".join([*about, "markers only tell lines apart."]))
    if left_out := metrics.left_out(COUNTED):
        notes.append(f"{left_out:,} logged value{'s are' if left_out > 1 else ' is'} not finite and left out.")
    return "\n".join(notes)
