"""The metrics of a run, a row per step: writing ``metrics.csv``, which a resumed run continues."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.files import whole_file
from hpcm_spectral.runs.folder import METRICS
from hpcm_spectral.runs.metrics import PURPOSE, read_cells
from hpcm_spectral.runs.plain_files import reading

KEYS = ("step", "epoch")
NEW_LINE = "\r\n"


class MetricsWriter:
    """Appends rows to the ``metrics.csv`` of a run folder; what belongs to one step shares a row.

    Args:
        folder: The run folder, which may hold the rows of an earlier session.

    Raises:
        CheckpointError: These are damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / METRICS
        self._row: dict[str, Any] = {}
        self._columns = list(self._earlier())

    def add(self, values: Mapping[str, Any], step: int | None) -> None:
        """Add words and numbers to the row of ``step``."""
        # A row is complete with its epoch: a validation, which carries the step of the last training row, gets its own.
        if self._row and (step != self._row["step"] or "epoch" in self._row):
            self.flush()
        self._row.update({**values, "step": step})

    def flush(self) -> None:
        """Write what has been added so far."""
        if not self._row:
            return
        row, self._row = self._row, {}
        if new := [key for key in dict.fromkeys((*KEYS, *sorted(row))) if key not in self._columns]:
            rows = self._earlier()
            self._columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, lineterminator=NEW_LINE).writerow(row)

    def forget_from(self, step: int) -> None:
        """Drop the rows of ``step`` and later, which a run resumed there will write again."""
        rows = self._earlier()
        self._rewrite(rows[rows["step"].astype(int) < step] if len(rows) else rows)

    def _earlier(self) -> pd.DataFrame:
        rows = read_cells(self.path, CheckpointError)
        with reading(self.path, PURPOSE, CheckpointError):
            if len(rows) and (rows["step"].astype(int) < 0).any():
                raise ValueError("a step is below 0")
        return rows

    def _rewrite(self, rows: pd.DataFrame) -> None:
        with whole_file(self.path) as temporary:
            rows.reindex(columns=self._columns, fill_value="").to_csv(temporary, index=False, lineterminator=NEW_LINE)
