"""Pictures from run folders."""

from hpcm_spectral.reports.figures import write_run_figures
from hpcm_spectral.reports.radial import radial_spectrum

__all__ = ["radial_spectrum", "write_run_figures"]
