"""Reading a run's metrics.csv."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from hpcm_spectral.errors import UserError
from hpcm_spectral.reports.wording import one_line

PHASE = "spectral/phase"
TAU = "spectral/tau"


@dataclass(frozen=True)
class Series:
    """One metric against epochs.

    Attributes:
        epochs: Progress in epochs, ascending.
        values: Finite values.
        left_out: How many more were logged that are not finite.
    """

    epochs: Float[np.ndarray, " N"]
    values: Float[np.ndarray, " N"]
    left_out: int = 0

    def part(self, rows: Bool[np.ndarray, " N"]) -> "Series":
        """The points where ``rows`` is true."""
        return Series(self.epochs[rows], self.values[rows])


@dataclass(frozen=True)
class PhaseWindow:
    """When phase 1 acted.

    Attributes:
        start: Its first epoch in the file.
        end: Where it ended, or where the run stands if it has not.
        ended: Whether the run went on, or stopped exactly at the end.
    """

    start: float
    end: float
    ended: bool


class MetricsTable:
    """The rows of a metrics.csv, in the order of the file.

    Args:
        path: The file the rows come from, for messages.
        columns: Cells by column.
    """

    def __init__(self, path: Path, columns: dict[str, list[str]]) -> None:
        self._path = path
        self._columns = columns
        self.epochs = self._numbers("epoch")
        steps = self._numbers("step")
        steps = steps[np.isfinite(steps)]
        # The first step is logged as 0.
        self.steps = int(steps.max()) + 1 if len(steps) else 0

    @property
    def newest_epoch(self) -> float:
        """The last epoch of any row; 0 if none names its epoch."""
        return float(max(self.epochs[np.isfinite(self.epochs)], default=0.0))

    def __len__(self) -> int:
        return len(self.epochs)

    def series(self, key: str) -> Series:
        """The rows that have a value of ``key``, by epoch; none if no row has."""
        filled = np.array([cell != "" for cell in self._columns.get(key, [""] * len(self))], dtype=bool)
        filled &= np.isfinite(self.epochs)
        values = self._numbers(key)
        usable = filled & np.isfinite(values)
        order = np.argsort(self.epochs[usable], kind="stable")
        return Series(self.epochs[usable][order], values[usable][order], int((filled & ~usable).sum()))

    def tau(self) -> Series:
        """The cutoff while phase 1 acts."""
        series = self.series(TAU)
        window = self.phase_one()
        if window is None:
            return series.part(np.zeros(len(series.epochs), dtype=bool))
        last = series.epochs < window.end if window.ended else series.epochs <= window.end
        return series.part((series.epochs >= window.start) & last)

    def phase_one(self, planned_end: float | None = None) -> PhaseWindow | None:
        """When phase 1 acted, from the names of the phases; where these are missing, from tau.

        Args:
            planned_end: Its end by the config. Rows can be many steps apart; this says where in between.
        """
        names = self._columns.get(PHASE)
        if names is None:
            # Stages log only while they act.
            active = np.isfinite(self._numbers(TAU))
            known = np.isfinite(self.epochs) & (active | np.isfinite(self._numbers("train/loss")))
        else:
            active = np.array([any(p.startswith("phase1") for p in name.split("+")) for name in names], dtype=bool)
            known = np.isfinite(self.epochs) & np.array([name != "" for name in names], dtype=bool)
        active = active & known
        if not active.any():
            return None
        last = int(np.flatnonzero(active)[-1])
        start, last_active = float(self.epochs[active].min()), float(self.epochs[last])
        after = self.epochs[last + 1 :][known[last + 1 :]]
        newest = self.newest_epoch
        if planned_end is not None and last_active <= planned_end <= (after[0] if len(after) else newest):
            return PhaseWindow(start, float(planned_end), True)
        return PhaseWindow(start, float(after[0]), True) if len(after) else PhaseWindow(start, newest, False)

    def _numbers(self, key: str) -> Float[np.ndarray, " N"]:
        cells = self._columns.get(key)
        if cells is None:
            return np.full(len(self._columns["epoch"]), np.nan)
        try:
            return np.array([cell or "nan" for cell in cells], dtype=str).astype(np.float64)
        except ValueError as error:
            raise UserError(
                f"Column {key} of {self._path} must hold numbers, but: {one_line(error)}; restore the file."
            ) from error


def read_metrics(path: Path) -> MetricsTable | None:
    """Read a metrics.csv.

    Args:
        path: The file.

    Returns:
        Its rows, or ``None`` if there are none or no file. A last line that a kill cut short is left out.

    Raises:
        UserError: The file is damaged.
    """
    if not path.exists():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} must be a readable CSV file, but: {one_line(error)}; restore the file or move it away."
        ) from error
    if not rows:
        return None
    header, *rows = rows
    if missing := [key for key in ("step", "epoch") if key not in header]:
        raise UserError(
            f"The first line of {path} must name its columns, but names no {' and no '.join(missing)}; "
            "restore the file or move it away."
        )
    if rows and len(rows[-1]) != len(header):
        rows.pop()
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UserError(
                f"Every line of {path} must have {len(header)} cells, but line {number} has {len(row)}; "
                "restore the file or move it away."
            )
    if not rows:
        return None
    return MetricsTable(path, dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)))
