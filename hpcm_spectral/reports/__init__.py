"""Pictures from run folders."""

from hpcm_spectral.reports.figures import write_run_figures
from hpcm_spectral.reports.heat_maps import draw_heat_maps
from hpcm_spectral.reports.spectral_evolution import draw_spectral_evolution, write_spectral_evolution
from hpcm_spectral.runs.spectra import SpectralHistory, read_spectral_history

__all__ = [
    "SpectralHistory",
    "draw_heat_maps",
    "draw_spectral_evolution",
    "read_spectral_history",
    "write_run_figures",
    "write_spectral_evolution",
]
