"""The command-line programs behind ``scripts/``."""

from hpcm_spectral.cli.entry import benchmark, compress, convert_checkpoint, decompress, evaluate, report, train

__all__ = ["benchmark", "compress", "convert_checkpoint", "decompress", "evaluate", "report", "train"]
