"""The spectra of several runs side by side."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from hpcm_spectral.errors import UserError
from hpcm_spectral.reports.comparison.groups import Group
from hpcm_spectral.reports.heat_maps import draw_heat_maps
from hpcm_spectral.runs.spectra import SpectralHistory, read_spectral_history

MOST_RUNS = 8


def draw_spectra_of(groups: Sequence[Group]) -> Figure | None:
    """Heat maps of the first run of each config that had diagnostics, of eight at most; None if none had."""
    histories: dict[str, SpectralHistory] = {}
    for group in groups:
        for run in group.runs:
            try:
                history = read_spectral_history(run.path)
            except UserError:
                continue  # a damaged file is no reason to leave the run's other figures out
            if history is not None:
                histories[run.name] = history
                break
    first = dict(list(histories.items())[:MOST_RUNS])
    return draw_heat_maps(first) if first else None
