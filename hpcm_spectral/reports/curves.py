"""Loss, rate, PSNR, cutoff and inter-scale term of a run against epochs."""

from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hpcm_spectral.reports import lines, style
from hpcm_spectral.reports.inter_scale_panels import draw_inter_scale, inter_scale_note
from hpcm_spectral.reports.phase_marks import LOOKS, Phases, legend_of_phases, mark_phases, phase_handles
from hpcm_spectral.reports.run_folder import RunFolder
from hpcm_spectral.reports.style import BLUE, VERMILION, legend_above, name_axes
from hpcm_spectral.runs.metrics import INTER_SCALE, INTER_SCALE_REG, TAU, MetricsTable

TITLE_LENGTH = 60
RD_LOSS = "train/rd_loss"
COUNTED = f"(?:train|val)/(?:loss|psnr|.*bpp(?:_loss)?)|{INTER_SCALE}"


def draw_curves(run: RunFolder) -> Figure | None:
    """Four panels: loss, rate, PSNR, tau; below them those of phase 2 if it logged anything. None without rows."""
    if run.metrics is None:
        return None
    metrics, phases = run.metrics, run.phases
    if metrics.has_inter_scale:
        figure = style.new_figure(13.5)
        # Nested, as the lowest row has other columns.
        grid = figure.add_gridspec(2, 1, height_ratios=(2, 1))
        panels = grid[0].subgridspec(2, 2).subplots(squeeze=False)
        draw_inter_scale(figure, grid[1], metrics, phases, smoothed_rows(metrics))
    else:
        figure = style.new_figure(9.0)
        panels = figure.subplots(2, 2)
    panel_of_one(panels[0, 0], metrics, phases, key="loss", title="Loss")
    panel_of_rates(panels[0, 1], metrics, phases)
    panel_of_one(panels[1, 0], metrics, phases, key="psnr", title="PSNR", y="dB")
    panel_of_tau(panels[1, 1], metrics, phases)
    if phases.of("phase2") is None:
        figure.suptitle(run.title, fontsize=14, parse_math=False)
        legend_above(panels[1, 1], phase_handles(phases))
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


def panel_of_one(axes: Axes, metrics: MetricsTable, phases: Phases, *, key: str, title: str, y: str = "") -> None:
    """A metric in training and in validation."""
    name_axes(axes, title=title, x="epoch", y=y or title.lower())
    mark_phases(axes, phases)
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
    name_axes(axes, title="Rate", x="epoch", y="bits per pixel")
    mark_phases(axes, phases)
    handles, drawn = [], []
    parts = [
        (f"{name}_bpp", name.replace("$", r"\$"), *look)
        for name, look in zip(metrics.rate_names, cycle(style.SCALE_STYLES[1:]))
    ]
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
    name_axes(axes, title="Cutoff τ", x="epoch", y="τ")
    mark_phases(axes, phases)
    one = phases.of("phase1")
    tau = metrics.series(TAU) if one is None else one.of(metrics.series(TAU))
    if one is None or not len(tau):
        style.say(axes, "phase 1 off" if one is None else "phase 1 logged no τ")
        axes.set_yticks([])
        return
    # A cutoff holds until the next one is logged.
    lines.draw(axes, tau, color=BLUE, linewidth=2, drawstyle="steps-post", marker="o" * (len(tau) <= 2))
    axes.set_ylim(0, max(1.0, float(tau.max())) * 1.05)


def smoothed_rows(metrics: MetricsTable) -> int:
    """How many rows the smoothed curves average."""
    return lines.smoothing_window(len(metrics.series("train/loss")))


def footnote(run: RunFolder) -> str:
    """How to read the panels."""
    assert run.metrics is not None
    phases, points = run.phases, smoothed_rows(run.metrics)
    one, two = (phases.of(key) is not None for key in LOOKS)
    own = len(phases.spans) > one + two
    text = "Training: crosses, every logged row."
    if points > 1:
        across = ", not across a phase's start or end" if two or own else ", not across phase 1's end" if one else ""
        text = (
            f"Training: faint, every logged row (of the rate: its total); bold, the mean of {points} rows "
            f"around each{across}."
        )
    if len(run.metrics.series("val/loss")):
        text += " Validation: circles, squares and triangles."
    notes = [text]
    if one:
        truncated = run.truncation is None or run.truncation.target == "truncated"
        against = "compared with truncated images" if truncated else "on truncated images"
        shaded = "grey" if two else "shaded"
        notes.append(f"In phase 1 ({shaded}) training is {against}: its curves do not compare with validation there.")
    if two:
        note = "Phase 2 is hatched."
        if without_term(run.metrics, phases):
            note = (
                "In phase 2 (hatched) the training loss is drawn without the inter-scale term, as validation has none."
            )
        elif run.metrics.rows_with(INTER_SCALE_REG).any():
            note = (
                "In phase 2 (hatched) the training loss contains the inter-scale term, which is negative; the "
                "validation loss does not."
            )
        notes.append(note)
    if own:
        notes.append("Bars at the top: when further stages acted.")
    if run.metrics.has_inter_scale:
        notes.append(inter_scale_note(run.metrics))
    if left_out := run.metrics.left_out(COUNTED):
        notes.append(f"{left_out:,} logged value{'s are' if left_out > 1 else ' is'} not finite and left out.")
    return "\n".join(notes)
