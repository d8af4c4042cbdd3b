"""When the stages of a run acted, as the run itself wrote it down: ``phases.json``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpcm_spectral.errors import UserError, one_line
from hpcm_spectral.files import write_text

FILE_NAME, FORMAT = "phases.json", 1


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
    content = {"format": FORMAT, "phases": [asdict(record) for record in records]}
    write_text(folder / FILE_NAME, json.dumps(content, indent=2) + "\n")


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
    try:
        return [PhaseRecord(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["phases"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} must say when a run's stages acted, but: {one_line(error)}; restore the file or move it away."
        ) from None
