"""The metrics of a run, a row per step: ``metrics.csv``, which a resumed run continues."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpcm_spectral.errors import CheckpointError, UserError
from hpcm_spectral.files import whole_file
from hpcm_spectral.runs.folder import METRICS
from hpcm_spectral.runs.plain_files import reading

PHASE = "spectral/phase"
TAU = "spectral/tau"
INTER_SCALE_REG = "spectral/inter_scale_reg"
DELTA = "spectral/delta"
PER_PAIR = r"spectral/(?:distance|explained)_(\d+)_(\d+)"
EXPLAINED = r"spectral/explained_(\d+)_(\d+)"
LEVEL_LMBDA = r"val/level_(\d+)/lmbda"
POWER = r"spectral/power_(\d+)"
INTER_SCALE = f"{INTER_SCALE_REG}|{DELTA}|{PER_PAIR}|{POWER}"
PURPOSE = "hold the metrics of a run"
KEYS = ("step", "epoch")
NEW_LINE = "\r\n"


class MetricsTable:
    """The rows of a metrics.csv, in the order of the file.

    Args:
        path: The file the rows come from, for messages.
        cells: What it holds, as text; a metric that a row does not have is an empty one.

    Attributes:
        epochs: Progress in epochs of every row; NaN where it names none.
        steps: How many steps were logged.
    """

    def __init__(self, path: Path, cells: pd.DataFrame) -> None:
        self._path = path
        self._cells = cells
        self.epochs: pd.Series = self._numbers("epoch")
        # The first step is logged as 0.
        steps = self._numbers("step")
        self.steps = int(steps[np.isfinite(steps)].max()) + 1 if np.isfinite(steps).any() else 0

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def newest_epoch(self) -> float:
        """The last epoch of any row; 0 if none names its epoch."""
        return float(self.epochs[np.isfinite(self.epochs)].max()) if np.isfinite(self.epochs).any() else 0.0

    def series(self, key: str) -> pd.Series:
        """The finite values of a metric by epoch, ascending; none if no row has it.

        Raises:
            UserError: A cell is no number.
        """
        values = self._numbers(key)
        found = pd.Series(values.to_numpy(), index=pd.Index(self.epochs.to_numpy(), name="epoch"), name=key)
        return found[np.isfinite(found) & np.isfinite(found.index)].sort_index(kind="stable")

    def left_out(self, pattern: str) -> int:
        """How many values of the metrics whose whole name matches ``pattern`` are logged but not finite."""
        return sum(
            int((self.filled(key) & np.isfinite(self.epochs) & ~np.isfinite(self._numbers(key))).sum())
            for key in self._matching(pattern)
        )

    def numbered(self, pattern: str) -> dict[tuple[int, ...], pd.Series]:
        """The metrics whose whole name matches ``pattern``, by the numbers in the name, ascending; logged ones only."""
        found = {
            tuple(int(number) for number in match.groups()): self.series(key)
            for key, match in self._matching(pattern).items()
            if self.filled(key).any()
        }
        return dict(sorted(found.items()))

    @property
    def rate_names(self) -> list[str]:
        """The likelihoods whose bits per pixel were logged, such as ``y`` and ``z``."""
        return sorted({match[1] for match in self._matching("(?:train|val)/(.+)_bpp").values()})

    def rows_with(self, pattern: str) -> pd.Series:
        """Which rows hold a metric whose whole name matches ``pattern``, whether a number or not."""
        return (self._cells[list(self._matching(pattern))] != "").any(axis="columns")

    def filled(self, key: str) -> pd.Series:
        """Which rows hold a metric."""
        return self.text(key) != ""

    def text(self, key: str) -> pd.Series:
        """The cells of a column."""
        return self._cells[key] if key in self._cells else pd.Series("", index=self._cells.index)

    def _matching(self, pattern: str) -> dict[str, re.Match[str]]:
        return {key: match for key in self._cells if (match := re.fullmatch(pattern, key))}

    def _numbers(self, key: str) -> pd.Series:
        """A column as numbers, NaN where a row does not have it."""
        try:
            return self.text(key).replace("", "nan").astype(float)
        except ValueError as error:
            raise UserError(
                f"Column {key} of {self._path} must hold numbers, but: {error}; restore the file or move it away."
            ) from None


def read_metrics(path: Path) -> MetricsTable:
    """The rows of a metrics.csv, none without the file; a last line that a kill cut short is left out.

    Raises:
        UserError: The file is damaged.
    """
    return MetricsTable(path, _read_cells(path))


def _read_cells(path: Path, error: type[UserError] = UserError) -> pd.DataFrame:
    """The cells as text."""
    if not path.exists():
        return pd.DataFrame()
    with reading(path, PURPOSE, error):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                header, *rows = list(csv.reader(file)) or [[]]
        except csv.Error as damage:
            raise ValueError(damage) from None
        if header and (missing := set(KEYS) - set(header)):
            raise ValueError(f"its first line names no {' and no '.join(sorted(missing))}")
        if rows and len(rows[-1]) != len(header):
            rows.pop()
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header):
                raise ValueError(f"line {number} has {len(row)} cells, not {len(header)}")
        cells = pd.DataFrame(rows, columns=header, dtype=str)
        return cells.loc[:, ~cells.columns.duplicated(keep="last")]


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
        rows = _read_cells(self.path, CheckpointError)
        with reading(self.path, PURPOSE, CheckpointError):
            if len(rows) and (rows["step"].astype(int) < 0).any():
                raise ValueError("a step is below 0")
        return rows

    def _rewrite(self, rows: pd.DataFrame) -> None:
        with whole_file(self.path) as temporary:
            rows.reindex(columns=self._columns, fill_value="").to_csv(temporary, index=False, lineterminator=NEW_LINE)
