"""Pictures from run folders."""

from hpcm_spectral.reports.figures import write_run_figures
from hpcm_spectral.reports.spectral_evolution import draw_heat_maps, draw_spectral_evolution, write_spectral_evolution

__all__ = ["draw_heat_maps", "draw_spectral_evolution", "write_run_figures", "write_spectral_evolution"]
