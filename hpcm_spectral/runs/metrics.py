"""The metrics of a run, a row per step: reading ``metrics.csv``."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd

from hpcm_spectral.errors import UserError
from hpcm_spectral.runs.plain_files import reading

PHASE = "spectral/phase"
TAU = "spectral/tau"
INTER_SCALE_REG = "spectral/inter_scale_reg"
DELTA = "spectral/delta"
PER_PAIR = r"spectral/(?:distance|explained)_(\d+)_(\d+)"
EXPLAINED = r"spectral/explained_(\d+)_(\d+)"
POWER = r"spectral/power_(\d+)"
INTER_SCALE = f"{INTER_SCALE_REG}|{DELTA}|{PER_PAIR}|{POWER}"
PURPOSE = "hold the metrics of a run"


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
        usable = np.isfinite(values) & np.isfinite(self.epochs)
        found = pd.Series(
            values[usable].to_numpy(), index=pd.Index(self.epochs[usable].to_numpy(), name="epoch"), name=key
        )
        return found.sort_index(kind="stable")

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
        names = {match[1] for match in self._matching("(?:train|val)/(.+)_bpp").values()}
        return sorted(names)

    @property
    def has_inter_scale(self) -> bool:
        """Whether any row holds something that the inter-scale term logs, finite or not."""
        return bool(self.rows_with(INTER_SCALE).any())

    def rows_with(self, pattern: str) -> pd.Series:
        """Which rows hold a metric whose whole name matches ``pattern``, whether a number or not."""
        rows = pd.Series(False, index=self._cells.index)
        for key in self._matching(pattern):
            rows |= self.filled(key)
        return rows

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


def read_metrics(path: Path) -> MetricsTable | None:
    """Read a metrics.csv.

    Args:
        path: The file.

    Returns:
        Its rows, or ``None`` if there are none or no file. A last line that a kill cut short is left out.

    Raises:
        UserError: The file is damaged.
    """
    cells = read_cells(path)
    return MetricsTable(path, cells) if len(cells) else None


def read_cells(path: Path, error: type[UserError] = UserError) -> pd.DataFrame:
    """The cells of a metrics.csv as text, without a last line that a kill cut short; empty without the file.

    Raises:
        UserError: The file is damaged; another class if ``error`` is one.
    """
    if not path.exists():
        return pd.DataFrame()
    with reading(path, PURPOSE, error):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                header, *rows = list(csv.reader(file)) or [[]]
        except csv.Error as damage:
            raise ValueError(damage) from None
        if header and (missing := {"step", "epoch"} - set(header)):
            raise ValueError(f"its first line names no {' and no '.join(sorted(missing))}")
        if rows and len(rows[-1]) != len(header):
            rows.pop()
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header):
                raise ValueError(f"line {number} has {len(row)} cells, not {len(header)}")
        # Of a column that is named twice, the last one.
        columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
        return pd.DataFrame(columns, dtype=str)
