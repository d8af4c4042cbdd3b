"""What each job of a sweep says of itself, for the table at the end."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from hpcm_spectral.errors import UserError
from hpcm_spectral.runs.plain_files import read_json, write_json

RECORDS, REPLACED = ".jobs", ".replaced"
Outcome = Literal["running", "finished", "pruned", "stopped", "skipped", "interrupted", "failed", "refused"]
# With these a sweep is not done.
UNDONE: tuple[Outcome, ...] = ("running", "stopped", "interrupted", "failed", "refused")


@dataclass(frozen=True)
class JobRecord:
    """How a job went in the latest session of its sweep.

    Args:
        num: Its number in the session, from 0.
        folder: Name of its run folder.
        outcome: ``running`` until its process says otherwise.
        seconds: What this session spent on it.
        note: Why it failed, was refused or skipped; empty if there is nothing to say.
        tasks: Names the SLURM job whose tasks are to do as this record says; None if it has no tasks besides the
            first, or that has not decided yet.
        resume: What its training goes on with, as the setting of that name.
    """

    num: int
    folder: str
    outcome: Outcome
    seconds: float = 0.0
    note: str = ""
    tasks: str | None = None
    resume: str | None = None

    def write(self, sweep: Path) -> None:
        """Keep it in the sweep's folder."""
        folder = sweep / RECORDS
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{self.num}.json", asdict(self))


def read_records(sweep: Path) -> list[JobRecord]:
    """All records by number; a damaged one counts as an interrupted job."""
    records = []
    for path in (sweep / RECORDS).glob("[!.]*.json"):
        try:
            records.append(JobRecord(**read_json(path)))
        except (OSError, ValueError, TypeError):
            records.append(JobRecord(int(path.stem) if path.stem.isdigit() else -1, "?", "interrupted"))
    return sorted(records, key=lambda record: record.num)


def await_record(sweep: Path, num: int, tasks: str) -> JobRecord:
    """A job's record once the first of several tasks has decided what is to be done.

    Raises:
        UserError: It has not within ten minutes.
    """
    for _ in range(600):
        for record in read_records(sweep):
            if (record.num, record.tasks) == (num, tasks):
                return record
        time.sleep(1)
    raise UserError(f"The first task of job {num} must begin within ten minutes, but has not; see its log.")
