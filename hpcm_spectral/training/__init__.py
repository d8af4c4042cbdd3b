"""The Lightning side: module, optimizer, callbacks, logging, checkpoints and provenance."""

from hpcm_spectral.training.checkpointing import AtomicCheckpointIO, checkpoint_callbacks
from hpcm_spectral.training.csv_logger import RunCsvLogger
from hpcm_spectral.training.module import CodecModule
from hpcm_spectral.training.optimizers import AdamRecipe
from hpcm_spectral.training.spectral_diagnostics import SpectralDiagnostics

__all__ = [
    "AdamRecipe",
    "AtomicCheckpointIO",
    "CodecModule",
    "RunCsvLogger",
    "SpectralDiagnostics",
    "checkpoint_callbacks",
]
