"""Lightning's side of a run's ``metrics.csv``."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from hpcm_spectral.runs.metrics import MetricsWriter


class RunCsvLogger(Logger):
    """Logs to the ``metrics.csv`` of a run folder; a word and the numbers of one step share a row.

    Lightning's CSV logger deletes the rows of an earlier session, this one keeps them.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._writer = MetricsWriter(folder)

    @property
    def name(self) -> str:
        """Lightning's name for the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """Lightning's version of the run; there is one per folder."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds the config."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Add values to the row of ``step``."""
        values = {key: v.item() if isinstance(v, torch.Tensor) else v for key, v in metrics.items()}
        self._writer.add(values, step)

    @rank_zero_only
    def save(self) -> None:
        """Write what has been logged so far."""
        self._writer.flush()

    @rank_zero_only
    def forget_from(self, step: int) -> None:
        """Drop the rows of ``step`` and later, which a run resumed there will log again."""
        self._writer.forget_from(step)
