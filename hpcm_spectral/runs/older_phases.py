"""When the stages of a run acted, for runs written before they kept a ``phases.json``: from their rows and config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpcm_spectral.runs.metrics import INTER_SCALE, PHASE, TAU, MetricsTable
from hpcm_spectral.runs.phases import PhaseRecord, read_phases

MOMENTS = 4
# What tells the rows of a phase where these do not name it.
LOGGED = {"phase1": TAU, "phase2": INTER_SCALE}
TRUNCATION = "hpcm_spectral.stages.SpectralTruncation"


def phases_of(folder: Path, config: Mapping[str, Any], metrics: MetricsTable | None) -> list[PhaseRecord]:
    """The stages of a run: what it wrote itself, else what its rows show.

    Args:
        folder: The run folder.
        config: The run's config.
        metrics: Its rows; None if there are none.

    Raises:
        UserError: Its ``phases.json`` is damaged.
    """
    written = read_phases(folder)
    if written is not None or metrics is None:
        return written or []
    words = metrics.text(PHASE).str.split("+")
    records = []
    for key, logged in LOGGED.items():
        named = words.map(lambda names, key=key: any(name.startswith(key) for name in names))
        rows = named if named.any() else metrics.rows_with(logged)
        records += _record(key, key, rows, metrics, config.get(key))
    own = {name for names in words for name in names} - {"", "baseline"}
    own = {name for name in own if not name.startswith(tuple(LOGGED))}
    if not any(record.key == "phase2" for record in records):
        for name in sorted(own):
            records += _record(name, name, words.map(lambda names, name=name: name in names), metrics, None)
    return records


def _record(key: str, phase: str, rows: pd.Series, metrics: MetricsTable, node: Any) -> list[PhaseRecord]:
    """From the first to the last of the rows, if there are any."""
    epochs = metrics.epochs
    active = rows & np.isfinite(epochs)
    if not active.any():
        return []
    settings = node if isinstance(node, Mapping) else {}
    began = float(epochs[active].min())
    # Training rows tell whether a stage acted, validation rows do not.
    known = metrics.filled(PHASE if metrics.filled(PHASE).any() else "train/loss") | active
    after = epochs[known & np.isfinite(epochs)].loc[active[active].index[-1] + 1 :]
    ended = float(after.iloc[0]) if len(after) else None
    schedule = settings.get("schedule") or settings
    end = schedule.get("num_epochs") if key == "phase1" else settings.get("end_epoch")
    description = _truncation(settings, metrics) if settings.get("_target_") == TRUNCATION else {}
    return [PhaseRecord(key, phase, began, end if isinstance(end, int | float) else None, began, ended, description)]


def _truncation(settings: Mapping[str, Any], metrics: MetricsTable) -> dict[str, Any]:
    """What today's stage says of itself, its cutoffs as they were logged."""
    tau = metrics.series(TAU)
    rows = np.linspace(0, max(0, len(tau) - 1), MOMENTS).round().astype(int)[: len(tau)]
    # Each cutoff at the epoch of its first row.
    moments = {round(value, 6): [float(tau.index[tau == value][0]), float(value)] for value in tau.iloc[rows]}
    last = (settings.get("schedule") or settings).get("tau_final", 1.0)
    return {
        "kind": "dct_truncation",
        "mask": settings.get("mask", "soft"),
        "target": settings.get("target", "truncated"),
        "tau_final": float(last),
        "moments": list(moments.values()),
    }
