"""Names of sweeps and of their jobs' folders, from what was changed on the command line."""

import hashlib
import re
from collections.abc import Sequence

from hydra.core.override_parser.types import Override

MAX_LENGTH = 120
HASH_LENGTH = 8
# What does not make a job another one.
UNNAMED = ("resume", "sweep.name", "sweep.on_existing", "sweep.trial")
# Kept as they are in every shell and file system.
_PLAIN = re.compile(r"[^A-Za-z0-9._=,+-]+")


def job_folder(overrides: str) -> str:
    """A job's folder below the sweep's: its own overrides, made safe for file systems.

    Args:
        overrides: Sorted and joined by commas; empty for a sweep of one job.

    Returns:
        Equal only for equal overrides: where a character had to be replaced or the end cut off, a digest follows.

    Example:
        >>> job_folder("schedule=linear,schedule.tau_init=0.05")
        'schedule=linear,schedule.tau_init=0.05'
        >>> job_folder("data.train_dir=/a/b")
        'data.train_dir=_a_b-0c6d2f1b'
    """
    safe = _PLAIN.sub("_", overrides) or "job"
    # A leading dot would hide the folder, a trailing one is lost on some file systems.
    safe = re.sub(r"^\.|\.$", "_", safe)
    if safe == (overrides or "job") and len(safe) <= MAX_LENGTH:
        return safe
    return f"{safe[: MAX_LENGTH - HASH_LENGTH - 1]}-{_digest(overrides)}"


def sweep_names(overrides: Sequence[Override], *, named: bool = False) -> list[str]:
    """What names a sweep and its jobs, as overrides besides those that it was given.

    Jobs are named by what is swept, not by what all of them share. A sweep is named by its experiment or by what is
    swept, and a digest of all it was given, so that the same command continues the same sweep.

    Args:
        overrides: Of the command line.
        named: Whether the sweep has a name of its own.
    """
    # Of a key that is given twice the last counts.
    given = {o.key_or_group: o for o in overrides if not re.match(r"hydra([./]|$)", o.key_or_group)}
    shared = sorted({key for key, o in given.items() if not o.is_sweep_override()} | set(UNNAMED))
    quoted = ",".join(f"'{key}'" for key in shared)
    added = [f"hydra.job.config.override_dirname.exclude_keys=[{quoted}]"]
    if named:
        return added
    swept = ",".join(sorted(key for key, o in given.items() if o.is_sweep_override()))
    experiment = str(given["experiment"].value()) if "experiment" in shared else None
    title = _PLAIN.sub("_", experiment or swept or "sweep").replace("=", "_").replace(",", "-")[:60]
    lines = sorted(str(o.input_line) for key, o in given.items() if key not in UNNAMED)
    return [*added, f"sweep.name={title}-{_digest(chr(10).join(lines))}"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]
