"""The table at the end of a sweep."""

import math
from collections.abc import Sequence
from pathlib import Path

from hpcm_spectral.errors import UserError
from hpcm_spectral.runs.folder import METRICS
from hpcm_spectral.runs.metrics import read_metrics
from hpcm_spectral.sweeps.records import JobRecord
from hpcm_spectral.tables import text_table


def sweep_table(sweep: Path, records: Sequence[JobRecord]) -> str:
    """A line per job: state, epochs, best validation loss, seconds of this session; then what went wrong."""
    rows = [(r.folder, r.outcome, *_progress(sweep / r.folder), duration(r.seconds)) for r in records]
    table = text_table(("job", "state", "epochs", "best val loss", "time"), rows, words=2)
    notes = [f"{record.folder}: {record.note}" for record in records if record.note]
    return "\n".join([table, *(["", *notes] if notes else [])])


def _progress(folder: Path) -> tuple[str, str]:
    """Epochs done and the least ``val/loss`` of a run folder, as far as its metrics can be read."""
    try:
        metrics = read_metrics(folder / METRICS)
    except (UserError, OSError):
        return "-", "-"
    if not metrics:
        return "-", "-"
    losses = metrics.series("val/loss")
    return f"{math.floor(metrics.newest_epoch + 1e-6)}", f"{losses.min():.4f}" if len(losses) else "-"


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
