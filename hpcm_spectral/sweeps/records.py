"""What each job of a sweep says of itself, for the table at the end."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hpcm_spectral.files import write_text

RECORDS, REPLACED = ".jobs", ".replaced"
Outcome = Literal["running", "finished", "pruned", "skipped", "interrupted", "failed", "refused"]
# With these a sweep is not done.
UNDONE: tuple[Outcome, ...] = ("running", "interrupted", "failed", "refused")


@dataclass(frozen=True)
class JobRecord:
    """How a job went in the latest session of its sweep.

    Args:
        num: Its number in the session, from 0.
        folder: Name of its run folder.
        outcome: ``running`` until its process says otherwise.
        seconds: What this session spent on it.
        note: Why it failed, was refused or skipped; empty if there is nothing to say.
    """

    num: int
    folder: str
    outcome: Outcome
    seconds: float = 0.0
    note: str = ""

    def write(self, sweep: Path) -> None:
        """Keep it in the sweep's folder."""
        folder = sweep / RECORDS
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"{self.num}.json", json.dumps(asdict(self)) + "\n")


def forget_records(sweep: Path) -> None:
    """Drop the records of an earlier session."""
    for path in (sweep / RECORDS).glob("*.json"):
        path.unlink(missing_ok=True)


def read_records(sweep: Path) -> list[JobRecord]:
    """All records by number; a damaged one counts as an interrupted job."""
    records = []
    for path in (sweep / RECORDS).glob("*.json"):
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            records.append(JobRecord(**content))
        except (OSError, ValueError, TypeError):
            records.append(JobRecord(int(path.stem) if path.stem.isdigit() else -1, "?", "interrupted"))
    return sorted(records, key=lambda record: record.num)
