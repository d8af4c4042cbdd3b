"""What a run was: command, code, packages, machine."""

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.files import whole_file, write_text

FILE_NAME, DIFF_NAME = "provenance.json", "git.diff"


def describe_run(seed: int | None, source: Path) -> dict[str, Any]:
    """Facts that a reader needs to repeat a run.

    Args:
        seed: The run's seed; None if it draws nothing.
        source: A folder within the code's git repository, if it has one.
    """
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
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
            "torch_threads": torch.get_num_threads(),
        },
    }


def write_provenance(folder: Path, seed: int, **facts: Any) -> None:
    """Add this session to the run folder's ``provenance.json`` (a resumed run has several), and the code's diff.

    Args:
        folder: The run folder.
        seed: The run's seed.
        facts: What else to note about this session, as plain values.
    """
    source = Path(__file__).resolve().parent
    path = folder / FILE_NAME
    sessions = _earlier_sessions(path)
    sessions.append(describe_run(seed, source) | facts)
    write_text(path, json.dumps({"sessions": sessions}, indent=2) + "\n")
    # A resumed run may run other code than before: one diff for each session.
    name = DIFF_NAME if len(sessions) == 1 else f"git-{len(sessions)}.diff"
    with whole_file(folder / name) as temporary:
        temporary.write_bytes(_git(source, "diff", "--binary", "HEAD"))


def _earlier_sessions(path: Path) -> list[Any]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["sessions"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path} must describe the run to continue, but it is damaged; remove it.") from None


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
