"""The command-line programs behind ``scripts/``."""

from hpcm_spectral.app.entry import benchmark, train

__all__ = ["benchmark", "train"]
