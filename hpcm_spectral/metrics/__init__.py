"""Quality and rate as the field measures them."""

from hpcm_spectral.metrics.quality import MS_SSIM_MIN_SIDE, ms_ssim_db, psnr, psnr_8bit
from hpcm_spectral.metrics.rate import bits

__all__ = ["MS_SSIM_MIN_SIDE", "bits", "ms_ssim_db", "psnr", "psnr_8bit"]
