"""How a codec's scales share out the frequencies of photographs, at one moment and over a training."""

from hpcm_spectral.diagnostics.history import SpectralHistory, read_spectral_history
from hpcm_spectral.diagnostics.scale_spectra import ScaleSpectra, scale_spectra

__all__ = ["ScaleSpectra", "SpectralHistory", "read_spectral_history", "scale_spectra"]
