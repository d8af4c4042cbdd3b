"""Reading a run's metrics.csv."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from hpcm_spectral.errors import UserError
from hpcm_spectral.errors import one_line

PHASE = "spectral/phase"
TAU = "spectral/tau"
INTER_SCALE_REG = "spectral/inter_scale_reg"
DELTA = "spectral/delta"
PER_PAIR = r"spectral/(?:distance|explained)_(\d+)_(\d+)"
EXPLAINED = r"spectral/explained_(\d+)_(\d+)"
POWER = r"spectral/power_(\d+)"


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
    """When a phase acted.

    Attributes:
        start: Where it began.
        end: Where it ended, or where the run stands if it has not.
        ended: Whether the run went on, or stopped exactly at the end.
    """

    start: float
    end: float
    ended: bool

    @property
    def edges(self) -> tuple[float, ...]:
        """Where the curves may jump."""
        return (self.start, self.end) if self.ended else (self.start,)


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
        filled = self._filled(key) & np.isfinite(self.epochs)
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
        active, known = self._rows_of("phase1")
        if PHASE not in self._columns:
            # Stages log only while they act.
            active = np.isfinite(self._numbers(TAU))
        return self._window(active, known | active, None, planned_end)

    def phase_two(self, planned_start: float | None = None, planned_end: float | None = None) -> PhaseWindow | None:
        """When phase 2 acted, from the names of the phases; where none names it, from what it logs.

        Args:
            planned_start: Its start by the config. Rows can be many steps apart; this says where in between.
            planned_end: Its end by the config.
        """
        active, known = self._rows_of("phase2")
        if not active.any():
            active = self._inter_scale_rows()
        return self._window(active, known | active, planned_start, planned_end)

    @property
    def has_inter_scale(self) -> bool:
        """Whether any row holds something that phase 2 logs, finite or not."""
        return bool(self._inter_scale_rows().any())

    def numbered(self, pattern: str) -> dict[tuple[int, ...], Series]:
        """The metrics whose whole name matches ``pattern``, by the numbers in the name, ascending; logged ones only."""
        found = {
            tuple(map(int, match.groups())): self.series(key)
            for key in self._columns
            if (match := re.fullmatch(pattern, key)) and self._filled(key).any()
        }
        return dict(sorted(found.items()))

    def left_out(self, keys: Iterable[str]) -> int:
        """How many values of ``keys`` and of phase 2 are not finite."""
        return sum(self.series(key).left_out for key in (*keys, *self._inter_scale_keys()))

    def _inter_scale_keys(self) -> list[str]:
        names = re.compile(f"{INTER_SCALE_REG}|{DELTA}|{PER_PAIR}|{POWER}")
        return [key for key in self._columns if names.fullmatch(key)]

    def _inter_scale_rows(self) -> Bool[np.ndarray, " N"]:
        """Rows with a cell of phase 2, whether a number or not."""
        rows = np.zeros(len(self), dtype=bool)
        for key in self._inter_scale_keys():
            rows |= self._filled(key)
        return rows

    def _rows_of(self, prefix: str) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
        """Rows that name a phase beginning with ``prefix``, and training rows, which tell whether it acted."""
        names = self._columns.get(PHASE)
        if names is None:
            return np.zeros(len(self), dtype=bool), np.isfinite(self._numbers("train/loss"))
        active = np.array([any(part.startswith(prefix) for part in name.split("+")) for name in names], dtype=bool)
        return active, self._filled(PHASE)

    def _window(
        self,
        active: Bool[np.ndarray, " N"],
        known: Bool[np.ndarray, " N"],
        planned_start: float | None,
        planned_end: float | None,
    ) -> PhaseWindow | None:
        """From the first to the last active row, stretched to the plan where no known row speaks against it."""
        known = known & np.isfinite(self.epochs)
        active = active & known
        if not active.any():
            return None
        rows = np.flatnonzero(active)
        start, last_active = float(self.epochs[active].min()), float(self.epochs[rows[-1]])
        before = self.epochs[known & ~active & (self.epochs < start)]
        if planned_start is not None and max(before, default=start) < planned_start <= start:
            start = float(planned_start)
        after = self.epochs[rows[-1] + 1 :][known[rows[-1] + 1 :]]
        newest = self.newest_epoch
        if planned_end is not None and last_active <= planned_end <= (after[0] if len(after) else newest):
            return PhaseWindow(start, float(planned_end), True)
        return PhaseWindow(start, float(after[0]), True) if len(after) else PhaseWindow(start, newest, False)

    def _filled(self, key: str) -> Bool[np.ndarray, " N"]:
        return np.array([cell != "" for cell in self._columns.get(key, [""] * len(self))], dtype=bool)

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
