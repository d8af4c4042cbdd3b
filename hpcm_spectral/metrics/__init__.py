"""Quality and rate as the field measures them, and spectra."""

from hpcm_spectral.metrics.quality import MS_SSIM_MIN_SIDE, bits, ms_ssim_db, psnr, psnr_8bit
from hpcm_spectral.metrics.radial import band_edges, radial_spectrum, sum_over_bands

__all__ = [
    "MS_SSIM_MIN_SIDE",
    "band_edges",
    "bits",
    "ms_ssim_db",
    "psnr",
    "psnr_8bit",
    "radial_spectrum",
    "sum_over_bands",
]
