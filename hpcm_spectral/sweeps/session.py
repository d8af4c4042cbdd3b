"""One session of a sweep, from its first job to what is said at its end."""

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from hpcm_spectral.sweeps.records import RECORDS, UNDONE, forget_records, settle

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
                f"error: A sweep must have its folder for itself, but another process is at work in {folder}; wait for "
                "it or set hydra.sweep.dir.",
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


def conclude(folder: Path | None) -> bool:
    """Print the table of the sweep that has ended in a folder, if there was one; false if it is to be run again."""
    records = settle(folder) if folder is not None else []
    if folder is None or not records:
        return True
    from hpcm_spectral.sweeps.table import sweep_table  # reads metrics, which --help must not wait for

    left = [record for record in records if record.outcome in UNDONE]
    print(f"\n{sweep_table(folder, records)}\n")
    state = f"{len(left)} of them not done; the same command goes on with those" if left else "all done"
    print(f"{folder}: {len(records)} job{'s' if len(records) > 1 else ''}, {state}", flush=True)
    return not left
