"""When the stages of a run acted: as the run itself wrote it down, ``phases.json``, or as its rows show."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpcm_spectral.runs.folder import PHASES
from hpcm_spectral.runs.metrics import INTER_SCALE, PHASE, TAU, MetricsTable
from hpcm_spectral.runs.plain_files import read_json, reading, write_json

FORMAT = 1
MOMENTS = 4
# What tells the rows of a phase where these do not name it.
LOGGED = {"phase1": TAU, "phase2": INTER_SCALE}
TRUNCATION = "hpcm_spectral.stages.SpectralTruncation"


@dataclass(frozen=True)
class PhaseRecord:
    """One stage of a run.

    Attributes:
        key: Where its settings stand: ``phase1``, ``phase2`` or ``stages.NAME``.
        phase: What ``spectral/phase`` reads while it acts.
        start: Progress in epochs at which its window opens.
        end: Progress at which it closes; None: never.
        began: Progress of the first step on which it acted; None: it has not.
        ended: Progress of the first step after its window; None: it has not ended.
        description: What the stage says of itself, plain values; of a DCT truncation ``kind``, ``mask``, ``target``,
            ``tau_final`` and ``moments``, some epochs with their cutoffs.
    """

    key: str
    phase: str
    start: float
    end: float | None
    began: float | None = None
    ended: float | None = None
    description: Mapping[str, Any] = field(default_factory=dict)


def write_phases(folder: Path, records: Sequence[PhaseRecord]) -> None:
    """Keep the stages of the run in ``folder``, whole or not at all."""
    write_json(folder / PHASES, {"format": FORMAT, "phases": [asdict(record) for record in records]})


def read_phases(folder: Path) -> list[PhaseRecord] | None:
    """The stages of a run; None if it was written before there was such a file.

    Raises:
        UserError: The file is damaged.
    """
    path = folder / PHASES
    if not path.exists():
        return None
    with reading(path, "say when a run's stages acted"):
        return [PhaseRecord(**entry) for entry in read_json(path)["phases"]]


def phases_of(folder: Path, config: Mapping[str, Any], metrics: MetricsTable) -> list[PhaseRecord]:
    """The stages of a run: what it wrote itself, else what its rows show.

    Raises:
        UserError: Its ``phases.json`` is damaged.
    """
    written = read_phases(folder)
    if written is not None:
        return written
    words = metrics.text(PHASE).str.split("+")
    records: list[PhaseRecord] = []
    for key, logged in LOGGED.items():
        named = words.map(lambda names, key=key: any(name.startswith(key) for name in names))
        rows = named if named.any() else metrics.rows_with(logged)
        records += _record(key, rows, metrics, config.get(key))
    # A stage of a user's own stood in the place of phase 2.
    for name in () if any(record.key == "phase2" for record in records) else sorted(set(words.explode())):
        if name not in ("", "baseline") and not name.startswith(tuple(LOGGED)):
            records += _record(name, words.map(lambda names, name=name: name in names), metrics, None)
    return records


def _record(key: str, rows: pd.Series, metrics: MetricsTable, node: Any) -> list[PhaseRecord]:
    """From the first to the last of the rows, if there are any."""
    epochs = metrics.epochs[np.isfinite(metrics.epochs)]
    active = epochs[rows]
    if active.empty:
        return []
    settings = node if isinstance(node, Mapping) else {}
    began = float(active.min())
    # Training rows tell whether a stage acted, validation rows do not.
    training = metrics.filled(PHASE if metrics.filled(PHASE).any() else "train/loss")
    after = epochs[training & (epochs.index > active.index[-1])]
    ended = float(after.iloc[0]) if len(after) else None
    schedule = settings["schedule"] if isinstance(settings.get("schedule"), Mapping) else settings
    end = schedule.get("num_epochs") if key == "phase1" else settings.get("end_epoch")
    said = _truncation(settings, schedule, metrics) if settings.get("_target_") == TRUNCATION else {}
    return [PhaseRecord(key, key, began, end if isinstance(end, int | float) else None, began, ended, said)]


def _truncation(settings: Mapping[str, Any], schedule: Mapping[str, Any], metrics: MetricsTable) -> dict[str, Any]:
    """What today's stage says of itself, its cutoffs as they were logged."""
    tau = metrics.series(TAU)
    rows = np.linspace(0, max(0, len(tau) - 1), MOMENTS).round().astype(int)[: len(tau)]
    # Each cutoff at the epoch of its first row.
    moments = {round(value, 6): [float(tau.index[tau == value][0]), float(value)] for value in tau.iloc[rows]}
    return {
        "kind": "dct_truncation",
        "mask": settings.get("mask", "soft"),
        "target": settings.get("target", "truncated"),
        "tau_final": schedule.get("tau_final", 1.0),
        "moments": list(moments.values()),
    }
