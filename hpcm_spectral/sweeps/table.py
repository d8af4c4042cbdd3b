"""The table at the end of a sweep."""

import contextlib
import logging
import math
import sys
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from hpcm_spectral.errors import UserError
from hpcm_spectral.runs.folder import METRICS
from hpcm_spectral.runs.metrics import read_metrics
from hpcm_spectral.sweeps.records import RECORDS, UNDONE, JobRecord, forget_records, read_records

log = logging.getLogger("hpcm_spectral")
LOCK = ".lock"


class SweepSession(Callback):
    """Hydra tells it of a sweep before the first job; the program asks it afterwards."""

    _folder: ClassVar[Path | None] = None
    _lock: ClassVar[FileLock | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim the sweep's folder and forget what earlier sessions noted there."""
        folder = Path(str(config.hydra.sweep.dir))
        lock = FileLock(folder / LOCK)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except OSError:
            return  # Hydra fails for the same reason, and its error is shown
        except Timeout:
            # Of a callback's errors Hydra only warns.
            print(
                f"A sweep must have its folder for itself, but another process is at work in {folder}; wait for it or "
                "set hydra.sweep.dir.",
                file=sys.stderr,
            )
            sys.exit(2)
        SweepSession._folder, SweepSession._lock = folder, lock
        forget_records(folder)
        log.info("sweep folder: %s; every job has its own log there, JOB/train.log", folder)

    @classmethod
    def close(cls) -> Path | None:
        """Let go of the sweep's folder, and return it; None if there was no sweep."""
        folder, cls._folder = cls._folder, None
        if cls._lock is not None:
            cls._lock.release()
            cls._lock = None
        if folder is not None and not (folder / RECORDS).exists():
            # No job began: a folder that was made for nothing goes.
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()
        return folder


def settle(sweep: Path) -> list[JobRecord]:
    """The records once no job works any more: one that still says so was killed."""
    return [
        JobRecord(r.num, r.folder, "interrupted", r.seconds, r.note) if r.outcome == "running" else r
        for r in read_records(sweep)
    ]


def undone(records: list[JobRecord]) -> list[JobRecord]:
    """The jobs for which the sweep has to be run again."""
    return [record for record in records if record.outcome in UNDONE]


def sweep_table(sweep: Path, records: list[JobRecord]) -> str:
    """A line per job: state, epochs, best validation loss, seconds of this session; then what went wrong."""
    rows: list[tuple[str, ...]] = [("job", "state", "epochs", "best val loss", "time")]
    for record in records:
        epochs, best = progress(sweep / record.folder)
        shown = "-" if epochs is None else f"{epochs:g}"
        loss = "-" if best is None else f"{best:.4f}"
        rows.append((record.folder, record.outcome, shown, loss, duration(record.seconds)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    notes = [f"{record.folder}: {record.note}" for record in records if record.note]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def progress(folder: Path) -> tuple[float | None, float | None]:
    """Epochs done and the least ``val/loss`` of a run folder, as far as its metrics can be read."""
    try:
        metrics = read_metrics(folder / METRICS)
    except (UserError, OSError):
        return None, None
    if metrics is None:
        return None, None
    losses = metrics.series("val/loss")
    return math.floor(metrics.newest_epoch + 1e-6), float(losses.min()) if len(losses) else None


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as far as there are any.

    >>> [duration(s) for s in (0.4, 75, 3725)]
    ['0 s', '1 min 15 s', '1 h 02 min']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
