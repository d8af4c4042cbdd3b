"""Loss, rate, PSNR and cutoff of a run against epochs."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from hpcm_spectral.reports.metrics_table import MetricsTable, PhaseWindow, Series
from hpcm_spectral.reports.run_folder import RunFolder
from hpcm_spectral.reports.smoothing import centred_mean, smoothing_window, thinned
from hpcm_spectral.reports.style import (
    BLACK,
    BLUE,
    GREEN,
    SHADE,
    VERMILION,
    legend_above,
    name_axes,
    new_figure,
    say,
)

LOG_RATIO = 20.0
KEYS = ("loss", "bpp_loss", "y_bpp", "z_bpp", "psnr")
RATES = (("bpp_loss", "total", BLUE, "o"), ("y_bpp", "y", VERMILION, "s"), ("z_bpp", "z", GREEN, "^"))


def draw_curves(run: RunFolder) -> Figure | None:
    """Four panels: loss, rate, PSNR, tau.

    Args:
        run: The run folder.

    Returns:
        ``None`` if no rows were logged.
    """
    if run.metrics is None:
        return None
    window = run.metrics.phase_one(run.truncation.end_epoch if run.truncation else None)
    figure = new_figure(9.0)
    figure.suptitle(run.title, fontsize=14, parse_math=False)
    panels = figure.subplots(2, 2)
    panel_of_one(panels[0, 0], run.metrics, window, key="loss", title="Loss")
    panel_of_rates(panels[0, 1], run.metrics, window)
    panel_of_one(panels[1, 0], run.metrics, window, key="psnr", title="PSNR", y="dB")
    panel_of_tau(panels[1, 1], run.metrics, window)
    first, last = epoch_limits(run.metrics)
    for axes in panels.flat:
        axes.set_xlim(first, last)
    figure.supxlabel(footnote(run, window), fontsize=10, x=0.01, ha="left", color="#404040", parse_math=False)
    return figure


def panel_of_one(
    axes: Axes, metrics: MetricsTable, window: PhaseWindow | None, *, key: str, title: str, y: str = ""
) -> None:
    """A metric in training and in validation."""
    name_axes(axes, title=title, x="epoch", y=y or title.lower())
    mark_phase(axes, window)
    handles = []
    train, val = metrics.series(f"train/{key}"), metrics.series(f"val/{key}")
    if len(train.values):
        draw_training(axes, train, window, colour=BLUE)
        handles.append(Line2D([], [], color=BLUE, linewidth=2, label="training"))
    if len(val.values):
        draw_validation(axes, val, colour=VERMILION, marker=".")
        handles.append(Line2D([], [], color=VERMILION, label="validation", **marker_style(VERMILION, ".")))
    finish(axes, [train, val], handles, may_be_log=key != "psnr")


def panel_of_rates(axes: Axes, metrics: MetricsTable, window: PhaseWindow | None) -> None:
    """Bits per pixel: all, of y and of z, in training and in validation."""
    name_axes(axes, title="Rate", x="epoch", y="bits per pixel")
    mark_phase(axes, window)
    handles, drawn = [], []
    for key, label, colour, marker in RATES:
        train, val = metrics.series(f"train/{key}"), metrics.series(f"val/{key}")
        draw_training(axes, train, window, colour=colour, raw=key == "bpp_loss")
        draw_validation(axes, val, colour=colour, marker=marker)
        drawn += [train, val]
        if len(train.values) or len(val.values):
            style = marker_style(colour, marker) if len(val.values) else {}
            handles.append(Line2D([], [], color=colour, linewidth=2, label=label, **style))
    finish(axes, drawn, handles)


def panel_of_tau(axes: Axes, metrics: MetricsTable, window: PhaseWindow | None) -> None:
    """The cutoff while phase 1 acts."""
    name_axes(axes, title="Cutoff τ", x="epoch", y="τ")
    mark_phase(axes, window)
    tau = metrics.tau()
    if window is None or not len(tau.values):
        say(axes, "phase 1 off" if window is None else "phase 1 logged no τ")
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
    if window is None:
        return
    handles: list[Line2D | Patch] = [Patch(color=SHADE, label="phase 1")]
    if window.ended:
        handles.append(Line2D([], [], color=BLACK, linestyle="--", label=f"its end, epoch {window.end:.4g}"))
    legend_above(axes, handles)


def mark_phase(axes: Axes, window: PhaseWindow | None) -> None:
    """Shade phase 1 and mark its end."""
    if window is None:
        return
    axes.axvspan(window.start, window.end, color=SHADE, linewidth=0, zorder=0)
    if window.ended:
        axes.axvline(window.end, color=BLACK, linestyle="--", linewidth=1.2, zorder=1)


def draw_training(axes: Axes, series: Series, window: PhaseWindow | None, *, colour: str, raw: bool = True) -> None:
    """Every logged value, faint, and their smoothed curve."""
    points = smoothing_window(len(series.values))
    if points == 1:
        axes.plot(series.epochs, series.values, color=colour, linewidth=1.2, marker="x", markersize=7)
        return
    if raw:
        axes.plot(*thinned(series.epochs, series.values), color=colour, linewidth=0.8, alpha=0.25)
    for part in around_end(series, window):
        axes.plot(*thinned(part.epochs, centred_mean(part.values, points)), color=colour, linewidth=2)


def around_end(series: Series, window: PhaseWindow | None) -> list[Series]:
    """The series before and after phase 1's end, as smoothing over the jump there would hide it."""
    if window is None or not window.ended:
        return [series]
    before = series.epochs < window.end
    return [series.part(before), series.part(~before)]


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


def finish(axes: Axes, drawn: list[Series], handles: list[Line2D], *, may_be_log: bool = True) -> None:
    """Legend and scale, or a word if nothing was drawn."""
    values = np.concatenate([series.values for series in drawn])
    if not len(values):
        say(axes, "not logged")
        axes.set_yticks([])
        return
    legend_above(axes, handles)
    if may_be_log and values.min() > 0 and values.max() > LOG_RATIO * values.min():
        axes.set_yscale("log")
        wide = values.max() > 1000 * values.min()
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())


def epoch_limits(metrics: MetricsTable) -> tuple[float, float]:
    """First and last epoch of the panels, with a margin."""
    epochs = metrics.epochs[np.isfinite(metrics.epochs)]
    if not len(epochs):
        return 0.0, 1.0
    first, last = float(epochs.min()), float(epochs.max())
    margin = 0.02 * (last - first) or 0.5
    return first - margin, last + margin


def footnote(run: RunFolder, window: PhaseWindow | None) -> str:
    """How to read the panels."""
    assert run.metrics is not None
    points = smoothing_window(len(run.metrics.series("train/loss").values))
    text = "Training: crosses, every logged row."
    if points > 1:
        across = ", not across phase 1's end" if window else ""
        text = (
            f"Training: faint, every logged row (of the rate: its total); bold, the mean of {points} rows "
            f"around each{across}."
        )
    if len(run.metrics.series("val/loss").values):
        text += " Validation: circles, squares and triangles."
    lines = [text]
    if window is not None:
        truncated = run.truncation is None or run.truncation.target == "truncated"
        against = "compared with truncated images" if truncated else "on truncated images"
        lines.append(f"In phase 1 (shaded) training is {against}: its curves do not compare with validation there.")
    left_out = sum(run.metrics.series(f"{part}/{key}").left_out for part in ("train", "val") for key in KEYS)
    if left_out:
        lines.append(f"{left_out:,} logged value{'s are' if left_out > 1 else ' is'} not finite and left out.")
    return "\n".join(lines)
