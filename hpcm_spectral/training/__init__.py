"""The Lightning side: module, optimizer, callbacks, logging, checkpoints and provenance."""

from hpcm_spectral.training.checkpointing import AtomicCheckpointIO, checkpoint_callbacks
from hpcm_spectral.training.csv_logger import RunCsvLogger
from hpcm_spectral.training.module import CodecModule
from hpcm_spectral.training.optimizers import AdamRecipe

__all__ = ["AdamRecipe", "AtomicCheckpointIO", "CodecModule", "RunCsvLogger", "checkpoint_callbacks"]
