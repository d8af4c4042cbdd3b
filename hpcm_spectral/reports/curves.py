"""Loss, rate, PSNR, cutoff and inter-scale term of a run against epochs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hpcm_spectral.reports.inter_scale_panels import draw_inter_scale, inter_scale_notes
from hpcm_spectral.reports.lines import draw_training, draw_validation, finish, marker_style, symlog_if_deep
from hpcm_spectral.reports.phases import Phases, legend_of_phases, mark_phases, phase_handles, phases_of
from hpcm_spectral.reports.run_folder import RunFolder
from hpcm_spectral.reports.smoothing import smoothing_window, thinned
from hpcm_spectral.reports.style import BLUE, GREEN, VERMILION, legend_above, name_axes, new_figure, say
from hpcm_spectral.runs.metrics import INTER_SCALE_REG, MetricsTable

TITLE_LENGTH = 60
RD_LOSS = "train/rd_loss"
KEYS = ("loss", "bpp_loss", "y_bpp", "z_bpp", "psnr")
RATES = (("bpp_loss", "total", BLUE, "o"), ("y_bpp", "y", VERMILION, "s"), ("z_bpp", "z", GREEN, "^"))


def draw_curves(run: RunFolder) -> Figure | None:
    """Four panels: loss, rate, PSNR, tau; below them those of phase 2 if it logged anything.

    Args:
        run: The run folder.

    Returns:
        ``None`` if no rows were logged.
    """
    if run.metrics is None:
        return None
    phases = phases_of(run)
    if run.metrics.has_inter_scale:
        figure = new_figure(13.5)
        # Nested, as the lowest row has other columns.
        grid = figure.add_gridspec(2, 1, height_ratios=(2, 1))
        panels = grid[0].subgridspec(2, 2).subplots(squeeze=False)
        draw_inter_scale(figure, grid[1], run.metrics, phases, smoothed_rows(run.metrics))
    else:
        figure = new_figure(9.0)
        panels = figure.subplots(2, 2)
    panel_of_one(panels[0, 0], run.metrics, phases, key="loss", title="Loss")
    panel_of_rates(panels[0, 1], run.metrics, phases)
    panel_of_one(panels[1, 0], run.metrics, phases, key="psnr", title="PSNR", y="dB")
    panel_of_tau(panels[1, 1], run.metrics, phases)
    if phases.two is None:
        figure.suptitle(run.title, fontsize=14, parse_math=False)
    else:
        # Left of the legend, which needs half of the width.
        size = 14 * min(1.0, TITLE_LENGTH / len(run.title))
        figure.suptitle(run.title, fontsize=size, parse_math=False, x=0.01, ha="left")
        legend_of_phases(figure, phases)
    first, last = epoch_limits(run.metrics)
    for axes in figure.axes:
        axes.set_xlim(first, last)
    figure.supxlabel(footnote(run, phases), fontsize=10, x=0.01, ha="left", color="#404040", parse_math=False)
    return figure


def panel_of_one(axes: Axes, metrics: MetricsTable, phases: Phases, *, key: str, title: str, y: str = "") -> None:
    """A metric in training and in validation."""
    name_axes(axes, title=title, x="epoch", y=y or title.lower())
    mark_phases(axes, phases)
    handles = []
    train = metrics.series(RD_LOSS if key == "loss" and without_term(metrics, phases) else f"train/{key}")
    val = metrics.series(f"val/{key}")
    if len(train.values):
        draw_training(axes, train, phases, colour=BLUE)
        handles.append(Line2D([], [], color=BLUE, linewidth=2, label="training"))
    if len(val.values):
        draw_validation(axes, val, colour=VERMILION, marker=".")
        handles.append(Line2D([], [], color=VERMILION, label="validation", **marker_style(VERMILION, ".")))
    finish(axes, [train, val], handles, may_be_log=key != "psnr")
    if key == "loss" and phases.two is not None:
        values = np.concatenate([train.values, val.values])
        symlog_if_deep(axes, values, usual=float(values.max(initial=0.0)))


def without_term(metrics: MetricsTable, phases: Phases) -> bool:
    """Whether the loss can be drawn without the inter-scale term, so that it compares with validation's."""
    return phases.two is not None and len(metrics.series(RD_LOSS).values) > 0


def panel_of_rates(axes: Axes, metrics: MetricsTable, phases: Phases) -> None:
    """Bits per pixel: all, of y and of z, in training and in validation."""
    name_axes(axes, title="Rate", x="epoch", y="bits per pixel")
    mark_phases(axes, phases)
    handles, drawn = [], []
    for key, label, colour, marker in RATES:
        train, val = metrics.series(f"train/{key}"), metrics.series(f"val/{key}")
        draw_training(axes, train, phases, colour=colour, raw=key == "bpp_loss")
        draw_validation(axes, val, colour=colour, marker=marker)
        drawn += [train, val]
        if len(train.values) or len(val.values):
            style = marker_style(colour, marker) if len(val.values) else {}
            handles.append(Line2D([], [], color=colour, linewidth=2, label=label, **style))
    finish(axes, drawn, handles)


def panel_of_tau(axes: Axes, metrics: MetricsTable, phases: Phases) -> None:
    """The cutoff while phase 1 acts."""
    name_axes(axes, title="Cutoff τ", x="epoch", y="τ")
    mark_phases(axes, phases)
    tau = metrics.tau()
    if phases.one is None or not len(tau.values):
        say(axes, "phase 1 off" if phases.one is None else "phase 1 logged no τ")
        axes.set_yticks([])
    else:
        few = len(tau.values) <= 2
        # A cutoff holds until the next one is logged.
        axes.plot(
            *thinned(tau.epochs, tau.values),
            color=BLUE,
            linewidth=2,
            drawstyle="steps-post",
            marker="o" * few,
        )
        axes.set_ylim(0, max(1.0, float(tau.values.max())) * 1.05)
    if phases.two is None:
        legend_above(axes, phase_handles(phases))


def epoch_limits(metrics: MetricsTable) -> tuple[float, float]:
    """First and last epoch of the panels, with a margin."""
    epochs = metrics.epochs[np.isfinite(metrics.epochs)]
    if not len(epochs):
        return 0.0, 1.0
    first, last = float(epochs.min()), float(epochs.max())
    margin = 0.02 * (last - first) or 0.5
    return first - margin, last + margin


def smoothed_rows(metrics: MetricsTable) -> int:
    """How many rows the smoothed curves average."""
    return smoothing_window(len(metrics.series("train/loss").values))


def footnote(run: RunFolder, phases: Phases) -> str:
    """How to read the panels."""
    assert run.metrics is not None
    points = smoothed_rows(run.metrics)
    text = "Training: crosses, every logged row."
    if points > 1:
        across = ""
        if phases.one is not None or phases.two is not None:
            across = ", not across phase 1's end" if phases.two is None else ", not across a phase's start or end"
        text = (
            f"Training: faint, every logged row (of the rate: its total); bold, the mean of {points} rows "
            f"around each{across}."
        )
    if len(run.metrics.series("val/loss").values):
        text += " Validation: circles, squares and triangles."
    lines = [text]
    if phases.one is not None:
        truncated = run.truncation is None or run.truncation.target == "truncated"
        against = "compared with truncated images" if truncated else "on truncated images"
        shaded = "shaded" if phases.two is None else "grey"
        lines.append(f"In phase 1 ({shaded}) training is {against}: its curves do not compare with validation there.")
    if phases.two is not None:
        term = run.metrics.series(INTER_SCALE_REG)
        note = "Phase 2 is hatched."
        if without_term(run.metrics, phases):
            note = (
                "In phase 2 (hatched) the training loss is drawn without the inter-scale term, as validation has none."
            )
        elif len(term.values) or term.left_out:
            note = (
                "In phase 2 (hatched) the training loss contains the inter-scale term, which is negative; the "
                "validation loss does not."
            )
        lines.append(note)
    if run.metrics.has_inter_scale:
        lines += inter_scale_notes(run.metrics)
    if left_out := run.metrics.left_out([f"{part}/{key}" for part in ("train", "val") for key in KEYS]):
        lines.append(f"{left_out:,} logged value{'s are' if left_out > 1 else ' is'} not finite and left out.")
    return "\n".join(lines)
