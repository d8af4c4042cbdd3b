"""How a run's scales came to share out frequencies, rate and distortion: the paper's figures 1 and 8."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from hpcm_spectral.reports.heat_maps import NOTE, add_colour_bar, add_note, draw_scales, epoch_limits
from hpcm_spectral.reports.lines import log_if_wide
from hpcm_spectral.reports.phases import END_OF_ONE, END_OF_TWO, Phases, legend_of_phases, mark_phases, phases_of
from hpcm_spectral.reports.run_folder import RunFolder
from hpcm_spectral.reports.style import SCALE_STYLES, legend_beside, name_axes, new_figure, save_figure, say
from hpcm_spectral.runs.spectra import SpectralHistory

FILE_NAME = "spectral_evolution.png"
HALO = [withStroke(linewidth=3.5, foreground="black")]


def draw_spectral_evolution(history: SpectralHistory, title: str, phases: Phases | None = None) -> Figure:
    """A heat map per scale, below them the rate of each scale and the PSNR of the reconstruction up to it.

    Args:
        history: What was measured, perhaps at one moment only.
        title: The run in one line.
        phases: When its phases acted, to be marked.
    """
    figure = new_figure(8.6)
    grid = figure.add_gridspec(2, 1, height_ratios=(1.05, 1))
    maps = list(grid[0].subgridspec(1, len(history.scales)).subplots(sharey=True, squeeze=False)[0])
    limits = epoch_limits([history])
    draw_scales(maps, history, history.scales, limits)
    add_colour_bar(figure, maps)
    rates, qualities = grid[1].subgridspec(1, 2).subplots(squeeze=False)[0]
    panel_of_lines(rates, history, history.bpp, title="Rate of each scale", y="bits per pixel", may_be_log=True)
    with np.errstate(divide="ignore"):
        psnr = -10 * np.log10(history.mse)
    panel_of_lines(qualities, history, psnr, title="PSNR of the reconstruction up to each scale", y="dB")
    figure.suptitle(title, fontsize=14, parse_math=False, x=0.01, ha="left")
    if phases is not None and (phases.one or phases.two):
        for axes in maps:
            mark_ends(axes, phases)
        for axes in (rates, qualities):
            mark_phases(axes, phases)
        legend_of_phases(figure, phases)
    for axes in (rates, qualities):
        axes.set_xlim(*limits)
    add_note(figure, NOTE)
    return figure


def panel_of_lines(
    axes: Axes,
    history: SpectralHistory,
    values: Float[np.ndarray, "T S"],
    *,
    title: str,
    y: str,
    may_be_log: bool = False,
) -> None:
    """A line per scale over the epochs."""
    name_axes(axes, title=title, x="epoch", y=y)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    handles = []
    for number, scale in enumerate(history.scales):
        colour, marker = SCALE_STYLES[number % len(SCALE_STYLES)]
        style: dict[str, Any] = {"color": colour, "linewidth": 1.8, "marker": marker, "markersize": 7}
        style |= {"markeredgecolor": "white", "markeredgewidth": 0.8}
        finite = np.where(np.isfinite(values[:, number]), values[:, number], np.nan)
        every = max(1, len(finite) // 20)
        axes.plot(history.epochs, finite, **style, markevery=every)
        handles.append(Line2D([], [], **style, label=scale.replace("$", r"\$")))
    legend_beside(axes, handles)
    finite = values[np.isfinite(values)]
    if not len(finite):
        say(axes, "nothing finite")
    elif may_be_log and finite.min() > 0:
        log_if_wide(axes, finite)


def mark_ends(axes: Axes, phases: Phases) -> None:
    """Lines where a phase starts or ends, which show on any colour."""
    for window, style in ((phases.one, END_OF_ONE), (phases.two, END_OF_TWO)):
        for edge in window.edges if window else ():
            axes.axvline(edge, color="white", linestyle=style, linewidth=1.5, path_effects=HALO)


def draw_run_spectra(run: RunFolder) -> Figure | None:
    """:func:`draw_spectral_evolution` of a run folder; ``None`` if it holds no diagnostics."""
    if run.spectra is None or not len(run.spectra.epochs):
        return None
    return draw_spectral_evolution(run.spectra, run.title, phases_of(run) if run.metrics is not None else None)


def write_spectral_evolution(folder: Path, history: SpectralHistory) -> Path:
    """Draw what a run that goes on has measured so far into its folder, and return the file."""
    path = folder / FILE_NAME
    save_figure(draw_spectral_evolution(history, folder.name), path)
    return path
