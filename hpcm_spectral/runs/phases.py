"""When the stages of a run acted, as the run itself wrote it down: ``phases.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpcm_spectral.runs.folder import PHASES
from hpcm_spectral.runs.plain_files import read_json, reading, write_json

FILE_NAME, FORMAT = PHASES, 1


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
    write_json(folder / FILE_NAME, {"format": FORMAT, "phases": [asdict(record) for record in records]})


def read_phases(folder: Path) -> list[PhaseRecord] | None:
    """The stages of a run.

    Returns:
        None for a run that was written before there was such a file.

    Raises:
        UserError: The file is damaged.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    with reading(path, "say when a run's stages acted"):
        return [PhaseRecord(**entry) for entry in read_json(path)["phases"]]
