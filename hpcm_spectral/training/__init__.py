"""The Lightning side: module, optimizer, callbacks, logging and checkpoints."""

from hpcm_spectral.training.averaging import AveragedWeights
from hpcm_spectral.training.checkpointing import AtomicCheckpointIO, checkpoint_callbacks
from hpcm_spectral.training.csv_logger import RunCsvLogger
from hpcm_spectral.training.module import CodecModule, TrainingStep, count_parameters
from hpcm_spectral.training.optimizers import Recipe, published_drops, warmup_cosine
from hpcm_spectral.training.phase_recorder import PhaseRecorder, announce
from hpcm_spectral.training.spectral_diagnostics import SpectralDiagnostics
from hpcm_spectral.training.trial_validation import validate_once

__all__ = [
    "AtomicCheckpointIO",
    "AveragedWeights",
    "CodecModule",
    "PhaseRecorder",
    "Recipe",
    "RunCsvLogger",
    "SpectralDiagnostics",
    "TrainingStep",
    "announce",
    "checkpoint_callbacks",
    "count_parameters",
    "published_drops",
    "validate_once",
    "warmup_cosine",
]
