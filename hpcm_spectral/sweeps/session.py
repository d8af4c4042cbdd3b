"""One session of a sweep, from its first job to what is said at its end."""

import contextlib
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from hpcm_spectral.sweeps.records import RECORDS, UNDONE, read_records

log = logging.getLogger("hpcm_spectral")
LOCK = ".lock"


class SweepSession(Callback):
    """Hydra tells it of a sweep before the first job; the program asks it afterwards."""

    _lock: ClassVar[FileLock | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim the sweep's folder and forget what earlier sessions noted there."""
        folder = Path(str(config.hydra.sweep.dir))
        lock = FileLock(folder / LOCK)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            # Of a callback's errors Hydra only warns.
            print(
                f"error: A sweep must have its folder for itself, but another process is at work in {folder}; wait for "
                "it or set hydra.sweep.dir.",
                file=sys.stderr,
            )
            sys.exit(2)
        except OSError:
            return  # Hydra fails for the same reason, and its error is shown
        SweepSession._lock = lock
        for path in (folder / RECORDS).glob("*.json"):
            path.unlink(missing_ok=True)
        log.info("sweep folder: %s; every job has its own log there, JOB/train.log", folder)

    @classmethod
    def conclude(cls) -> bool:
        """Let go of the folder of the sweep, if there was one, and print its table; false if it is to be run again."""
        lock, cls._lock = cls._lock, None
        if lock is None:
            return True
        lock.release()
        folder = Path(lock.lock_file).parent
        # No job works any more: one that still says so was killed.
        records = [replace(r, outcome="interrupted") if r.outcome == "running" else r for r in read_records(folder)]
        if not records:  # a folder that was made for nothing goes
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()
            return True
        from hpcm_spectral.sweeps.table import sweep_table  # reads metrics, which --help must not wait for

        left = [record for record in records if record.outcome in UNDONE]
        print(f"\n{sweep_table(folder, records)}\n")
        state = f"{len(left)} of them not done; the same command goes on with those" if left else "all done"
        print(f"{folder}: {len(records)} job{'s' if len(records) > 1 else ''}, {state}", flush=True)
        return not left
