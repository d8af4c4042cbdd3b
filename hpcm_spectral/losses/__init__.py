"""Training losses."""

from hpcm_spectral.losses.rate_distortion import RateDistortion, RateDistortionLoss

__all__ = ["RateDistortion", "RateDistortionLoss"]
