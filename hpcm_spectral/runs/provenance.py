"""What a run was: command, code, packages, machine; ``provenance.json`` and the code's diff."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from hpcm_spectral.errors import CheckpointError, UserError
from hpcm_spectral.files import whole_file
from hpcm_spectral.runs.folder import PROVENANCE
from hpcm_spectral.runs.plain_files import read_json, reading, write_json

DIFF_NAME = "git.diff"
PURPOSE = "list the sessions of its run, each with its machine"


def describe_run(seed: int | None, accelerator: Mapping[str, Any]) -> dict[str, Any]:
    """Facts that a reader needs to repeat a run.

    Args:
        seed: The run's seed; None if it draws nothing.
        accelerator: What the caller knows of GPUs and threads, as plain values: ``gpus``, a list of names, at least.
    """
    source = Path(__file__).resolve().parent
    commit = _git(source, "rev-parse", "HEAD")
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seed": seed,
        "git": {
            "commit": commit.decode().strip() or None,
            "dirty": bool(_git(source, "status", "--porcelain")),
        },
        "python": platform.python_version(),
        "packages": dict(sorted((d.name, d.version) for d in metadata.distributions() if d.metadata and d.name)),
        "machine": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            **accelerator,
        },
    }


def write_sessions(folder: Path, sessions: Sequence[Mapping[str, Any]]) -> None:
    """Keep what describes a folder's sessions."""
    write_json(folder / PROVENANCE, {"sessions": list(sessions)})


def write_provenance(folder: Path, seed: int, accelerator: Mapping[str, Any], **facts: Any) -> None:
    """Add this session to a run folder's provenance (a resumed run has several), and the code's diff.

    Args:
        folder: The run folder.
        seed: The run's seed.
        accelerator: As for :func:`describe_run`.
        facts: What else to note about this session, as plain values.

    Raises:
        CheckpointError: What earlier sessions noted is damaged.
    """
    sessions = _sessions(folder, CheckpointError)
    sessions.append(describe_run(seed, accelerator) | facts)
    write_sessions(folder, sessions)
    # A resumed run may run other code than before: one diff for each session.
    name = DIFF_NAME if len(sessions) == 1 else f"git-{len(sessions)}.diff"
    with whole_file(folder / name) as temporary:
        temporary.write_bytes(_git(Path(__file__).resolve().parent, "diff", "--binary", "HEAD"))


def read_machines(folder: Path) -> tuple[int, str | None]:
    """How many sessions a run had, and on which processors and GPUs; None if it does not say.

    Raises:
        UserError: What it says is damaged.
    """
    sessions = _sessions(folder, UserError)
    with reading(folder / PROVENANCE, PURPOSE):
        machines = {f"{s['machine']['processor']}, {', '.join(s['machine']['gpus']) or 'no GPU'}" for s in sessions}
    return len(sessions), " and ".join(sorted(machines)) or None


def _sessions(folder: Path, error: type[UserError]) -> list[Any]:
    path = folder / PROVENANCE
    with reading(path, PURPOSE, error):
        return list(read_json(path)["sessions"]) if path.exists() else []


def _git(folder: Path, *arguments: str) -> bytes:
    """Output of a git command on the repository that tracks this code; empty where there is none."""

    def git(*words: str) -> bytes:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, check=True, capture_output=True, timeout=20).stdout

    try:
        # An installed wheel may lie within somebody else's repository, which says nothing about this code.
        git("ls-files", "--error-unmatch", str(Path(__file__).resolve()))
        return git(*arguments)
    except (OSError, subprocess.SubprocessError):
        return b""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
