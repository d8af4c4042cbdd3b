"""The summary of a run: its state and its figures, ``summary.json``."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hpcm_spectral.errors import UserError
from hpcm_spectral.runs.folder import SUMMARY
from hpcm_spectral.runs.plain_files import read_json, reading, write_json

# running: a process is at work, or was killed. trained: not exported yet. interrupted, failed: not trained to the end.
# stopped: exported, but a limit or a callback ended the training before its last epoch. finished and pruned: exported.
State = Literal["running", "trained", "interrupted", "failed", "stopped", "finished", "pruned"]
DONE: tuple[State, ...] = ("finished", "pruned")


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Keep the run's state and final figures."""
    write_json(folder / SUMMARY, dict(summary))


def read_summary(folder: Path, *, strict: bool = False) -> dict[str, Any]:
    """A run's summary; empty if there is none, or if it is damaged, unless ``strict``.

    Raises:
        UserError: It is damaged and ``strict`` does not allow that.
    """
    path = folder / SUMMARY
    with contextlib.nullcontext() if strict else contextlib.suppress(UserError), reading(path, "describe the run"):
        if path.exists():
            content = read_json(path)
            if not isinstance(content, dict):
                raise ValueError("it is no JSON object")
            return content
    return {}


def is_done(summary: Mapping[str, Any]) -> bool:
    """Whether a run has trained as far as its settings let it, so that its figures are final."""
    return summary.get("state") in DONE or bool(summary.get("complete"))


def lacks_pictures(folder: Path) -> bool:
    """Whether a run was left before its pictures were drawn."""
    return read_summary(folder).get("pictures") is False


def seconds_so_far(folder: Path, key: str = "seconds") -> float:
    """Time of a run's earlier sessions: of training, or of another figure of the summary."""
    seconds = read_summary(folder).get(key)
    return float(seconds) if isinstance(seconds, int | float) else 0.0
