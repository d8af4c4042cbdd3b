"""The pictures of a report: curves of all runs against epochs, their spectra, their rate and distortion."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hpcm_spectral.errors import UserError
from hpcm_spectral.reports.comparison.compare import RunComparison
from hpcm_spectral.reports.comparison.compared_runs import BPP, LOSS, MS_SSIM, PSNR, ComparedRun
from hpcm_spectral.reports.comparison.groups import Group
from hpcm_spectral.reports.lines import draw, log_if_wide
from hpcm_spectral.reports.rate_distortion import MS_SSIM_DB, PSNR_RGB
from hpcm_spectral.reports.spectral_evolution import draw_heat_maps
from hpcm_spectral.reports.style import PALETTE, TAU_DASHES, legend_label, name_axes, new_figure
from hpcm_spectral.runs.spectra import SpectralHistory, read_spectral_history

# As wide as a column of the page: on a phone the letters shrink to half, not to a quarter.
WIDTH, HEIGHT, LINE_HEIGHT = 5.6, 3.6, 0.21
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FEW_POINTS = 30
# Characters of a legend's entry that fit where two stand side by side.
HALF_LABEL = 25
MOST_SPECTRA = 8
RATE_SECTION = "Rate and distortion"


class RunPicture(NamedTuple):
    """A picture of all runs.

    ``draw`` makes it from a comparison, whose runs know their folders; None if these have nothing to draw. It stands
    under the heading ``section``, over the page's whole width if it is ``wide``, as the file ``name``.png.
    """

    section: str
    name: str
    caption: str
    draw: Callable[[RunComparison], Figure | None]
    wide: bool = False


def draw_runs(
    comparison: RunComparison,
    series: Callable[[ComparedRun], pd.Series],
    *,
    title: str,
    y: str,
    may_be_log: bool = False,
    **more: Any,
) -> Figure | None:
    """A series of every run, perhaps an empty one, against epochs; runs of a group share a style. None if all are."""
    groups = comparison.groups
    found = {index: [series(run) for run in group.runs] for index, group in enumerate(groups)}
    found = {index: own for index, own in found.items() if any(len(one) for one in own)}
    if not found:
        return None
    labels = {i: groups[i].label + (f" ({len(own)} seeds)" if own[1:] else "") for i, own in found.items()}
    figure, axes = _panel(labels, title=title, x="epoch", y=y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for index, own in found.items():
        for one in own:
            draw(axes, one, **_style(index) | ({} if len(one) <= FEW_POINTS else {"marker": ""}), **more)
    values = np.concatenate([one for own in found.values() for one in own])
    if may_be_log and values.min() > 0:
        log_if_wide(axes, values)
    return figure


def draw_spectra(comparison: RunComparison) -> Figure | None:
    """Heat maps of the first run of each config that had diagnostics, of eight at most; None if none had."""
    histories = list(filter(None, map(_first_history, comparison.groups)))[:MOST_SPECTRA]
    return draw_heat_maps(dict(histories)) if histories else None


def _first_history(group: Group) -> tuple[str, SpectralHistory] | None:
    for run in group.runs:
        # A damaged file is no reason to leave the run's other figures out.
        with contextlib.suppress(UserError):
            if history := read_spectral_history(run.path):
                return run.name, history
    return None


def draw_curves(comparison: RunComparison, key: str, *, title: str) -> Figure | None:
    """A quality in dB, by its name in `LambdaCurve.curve`, against estimated rates; None if no curve has it."""
    drawn = {index: curve.curve for index, curve in enumerate(comparison.curves) if key in curve.curve.results}
    if not drawn:
        return None
    labels = {index: curve.label for index, curve in drawn.items()}
    figure, axes = _panel(labels, title=title, x="estimated bits per pixel", y="dB")
    for index, curve in drawn.items():
        order = np.argsort(curve.bpp)
        axes.plot(curve.bpp[order], curve.quality(key)[order], **_style(index))
    return figure


def _panel(labels: dict[int, str], *, title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure with a legend of ``labels`` below its panel."""
    columns = 1 if len(labels) <= 3 or max(map(len, labels.values())) > HALF_LABEL else 2
    figure = new_figure(HEIGHT + LINE_HEIGHT * -(-len(labels) // columns), WIDTH)
    axes = figure.subplots()
    name_axes(axes, title=title, x=x, y=y)
    handles = [Line2D([], [], **_style(i), label=legend_label(label)) for i, label in labels.items()]
    where: dict[str, Any] = {"loc": "outside lower left", "ncol": columns}
    figure.legend(handles=handles, frameon=False, fontsize=10, handlelength=4.0, **where)
    return figure, axes


def _style(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of a group: 28 that differ, then the first again."""
    # Neighbours differ in dashes too; each round of colours takes the next ones.
    dashes = TAU_DASHES[(2 * index + index // len(PALETTE)) % len(TAU_DASHES)]
    style = {"color": PALETTE[index % len(PALETTE)], "linestyle": dashes, "linewidth": 1.6, "markersize": 5}
    return {**style, "marker": MARKERS[index % len(MARKERS)]}


def _rate(name: str, key: str, quality: str) -> RunPicture:
    words = "a point per lambda, each run at its least loss, mean of seeds."
    draw = partial(draw_curves, key=key, title=f"{quality} over rate")
    return RunPicture(RATE_SECTION, name, f"{quality} over estimated bits per pixel: {words}", draw)


def _validated(name: str, measure: str, words: str, title: str, y: str, *, may_be_log: bool = False) -> RunPicture:
    caption = f"{words} of every validation, not smoothed. One style per config, its seeds share it."
    series: dict[str, Any] = {"series": lambda run: run.validation(measure), "may_be_log": may_be_log}
    return RunPicture("Curves", name, caption, partial(draw_runs, title=f"Validation {title}", y=y, **series))


PICTURES = (
    _rate("rd_psnr", PSNR_RGB, "PSNR"),
    _rate("rd_ms_ssim", MS_SSIM_DB, "MS-SSIM"),
    _validated("loss", LOSS, "Rate-distortion loss", "loss", "loss", may_be_log=True),
    _validated("bpp", BPP, "Estimated bits per pixel", "rate", "bits per pixel"),
    _validated("psnr", PSNR, "PSNR", "PSNR", "dB"),
    _validated("ms_ssim", MS_SSIM, "MS-SSIM", "MS-SSIM", "dB"),
    RunPicture(
        "Curves",
        "tau",
        "Cutoff of phase 1 while it acts; runs without phase 1 have none.",
        # A cutoff holds until the next one is logged.
        partial(draw_runs, series=lambda run: run.tau, title="Cutoff τ of phase 1", y="τ", drawstyle="steps-post"),
    ),
    RunPicture(
        "Spectra",
        "spectra",
        "What each scale explains, over epochs: the first run of each config with diagnostics=spectral, eight at most.",
        draw_spectra,
        wide=True,
    ),
)
