"""Training-only stages: what the spectral regularizers add to training, and nothing else."""

from hpcm_spectral.stages.base import InputStage, Numbers, PenaltyStage, Stage
from hpcm_spectral.stages.dct_truncation import DCTTransform, Mask, SpectralTruncation, Target, truncate
from hpcm_spectral.stages.inter_scale import InterScaleRegularizer

__all__ = [
    "DCTTransform",
    "InputStage",
    "InterScaleRegularizer",
    "Mask",
    "Numbers",
    "PenaltyStage",
    "SpectralTruncation",
    "Stage",
    "Target",
    "truncate",
]
