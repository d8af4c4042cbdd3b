"""Pictures from run folders."""

from hpcm_spectral.diagnostics import SpectralHistory, read_spectral_history
from hpcm_spectral.reports.figures import write_run_figures
from hpcm_spectral.reports.heat_maps import draw_heat_maps
from hpcm_spectral.reports.spectral_evolution import draw_spectral_evolution, write_spectral_evolution

__all__ = [
    "SpectralHistory",
    "draw_heat_maps",
    "draw_spectral_evolution",
    "read_spectral_history",
    "write_run_figures",
    "write_spectral_evolution",
]
