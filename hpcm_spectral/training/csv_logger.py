"""Metrics of a run as one CSV file that a resumed run continues."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.files import whole_file

FILE_NAME = "metrics.csv"
KEYS = ("step", "epoch")


class RunCsvLogger(Logger):
    """Appends a row per step to ``metrics.csv``; a word and the numbers of one step share a row.

    Lightning's CSV logger deletes the rows of an earlier session, this one keeps them.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = Path(folder) / FILE_NAME
        self._columns: list[str] = []
        self._row: dict[str, Any] = {}
        if self.path.exists():
            try:
                with self.path.open(newline="", encoding="utf-8") as file:
                    self._columns = list(csv.DictReader(file).fieldnames or [])
                steps = [int(row["step"]) for row in self._read()]
            except (ValueError, KeyError, csv.Error):
                steps = [-1]
            if any(step < 0 for step in steps):
                raise CheckpointError(f"{self.path} must be the metrics of the run to continue, but it is damaged.")

    @property
    def name(self) -> str:
        """Lightning's name for the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """Lightning's version of the run; there is one per folder."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> "RunCsvLogger":
        """What Lightning hands to users who want the logger itself."""
        return self

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds the config."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Add values to the row of ``step``."""
        # A row is complete with its epoch: a validation, which carries the step of the last training row, gets its own.
        if self._row and (step != self._row["step"] or "epoch" in self._row):
            self._write_row()
        values = {key: v.item() if isinstance(v, torch.Tensor) else v for key, v in metrics.items()}
        self._row.update({**values, "step": step})

    @rank_zero_only
    def save(self) -> None:
        """Write what has been logged so far."""
        if self._row:
            self._write_row()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the last row."""
        self.save()

    @rank_zero_only
    def forget_from(self, step: int) -> None:
        """Drop the rows of ``step`` and later, which a run resumed there will log again."""
        rows = [row for row in self._read() if int(row["step"]) < step]
        self._rewrite(rows)

    def _write_row(self) -> None:
        row, self._row = self._row, {}
        new = [key for key in dict.fromkeys((*KEYS, *sorted(row))) if key not in self._columns]
        if new:
            rows = self._read()
            self._columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            # A kill can cut the last line short; a cut row has too few cells.
            return [row for row in csv.DictReader(file) if None not in row and None not in row.values()]

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with whole_file(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
