"""What a run was: command, code, packages, machine; ``provenance.json`` and the code's diff."""

import os
import platform
import re
import shlex
import subprocess
import sys
import sysconfig
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
# Of what git does not track, what the run may have used; larger files, and more of them, are named only.
UNTRACKED = (":(top,glob)**/*.py", ":(top,glob)**/conf/**/*.yaml")
MAX_BYTES, MAX_FILES = 200_000, 100
PURPOSE = "list the sessions of its run, each with its machine"


def describe_run(seed: int | None, accelerator: Mapping[str, Any]) -> dict[str, Any]:
    """Facts that a reader needs to repeat a run.

    Args:
        seed: The run's seed; None if it draws nothing.
        accelerator: What the caller knows of GPUs and threads, as plain values: ``gpus``, a list of names, at least.
    """
    commit = _git("rev-parse", "HEAD")
    untracked = _listed("--others", "--exclude-standard", ":/")
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seed": seed,
        "git": {
            "commit": commit.decode().strip() or None,
            "dirty": bool(_git("status", "--porcelain")),
            "untracked": untracked[:MAX_FILES],
        },
        "own_code": [str(path) for path in _own_modules()],
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

    The arguments are those of :func:`describe_run` and whatever ``facts`` to note besides, as plain values.

    Raises:
        CheckpointError: What earlier sessions noted is damaged.
    """
    sessions = _sessions(folder, CheckpointError)
    sessions.append(describe_run(seed, accelerator) | facts)
    write_sessions(folder, sessions)
    # A resumed run may run other code than before: one diff for each session.
    name = DIFF_NAME if len(sessions) == 1 else f"git-{len(sessions)}.diff"
    root = _root()
    untracked = {root / path for path in _listed("--others", "--exclude-standard", *UNTRACKED)}
    added = [_as_added(path, root) for path in sorted({*untracked, *_own_modules()})[:MAX_FILES]]
    with whole_file(folder / name) as temporary:
        temporary.write_bytes(_git("diff", "--binary", "HEAD") + b"".join(added))


def noted_data(folder: Path) -> dict[str, Any] | None:
    """What the images of a run were, as its latest session noted it; None for a run that began before they were noted.

    Raises:
        CheckpointError: What its sessions noted is damaged.
    """
    with reading(folder / PROVENANCE, PURPOSE, CheckpointError):
        return next((s["data"] for s in reversed(_sessions(folder, CheckpointError)) if s.get("data")), None)


def check_same_data(folder: Path, contents: Mapping[str, Any]) -> None:
    """Refuse to continue a run on other images than it began with.

    Args:
        folder: The run folder.
        contents: What the images are now, by ``train`` and ``val``.

    Raises:
        CheckpointError: They differ in number, names or sizes, or what was noted of them is damaged.
    """
    for name, old in (noted_data(folder) or {}).items():
        new = contents.get(name)
        if new != old:
            counts = [f"{(known or {}).get('images', 'none')}" for known in (old, new)]
            got = f"{counts[1]} instead of {counts[0]}" if counts[0] != counts[1] else "others by name or size"
            raise CheckpointError(
                f"data must hold the same images for {name} as when the run in {folder} began, got {got}; restore "
                "them or start a new run."
            )


def read_machines(folder: Path) -> tuple[int, str | None]:
    """How many sessions a run had, and on which processors and GPUs, None if it does not say.

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


def _own_modules() -> list[Path]:
    """Files of the imported modules that neither a package nor this code's commit holds: the user's own."""
    places = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(__file__).parents[1]))
    # Asked for an attribute, some modules import more.
    files = [str(getattr(module, "__dict__", {}).get("__file__")) for module in [*sys.modules.values()]]
    others = {f for f in files if f.endswith(".py") and not f.startswith(places) and "-packages" + os.sep not in f}
    root = _root()
    tracked = {root / path for path in _listed()} if others else set()
    return sorted(path for path in {Path(file).resolve() for file in others} - tracked if path.is_file())


def _as_added(path: Path, root: Path) -> bytes:
    """A file as git shows one that was added; nothing of a large one, or one that is no text."""
    name = path.relative_to(root if path.is_relative_to(root) else path.anchor).as_posix()
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_BYTES else ""
    except (OSError, ValueError):
        return b""
    lines = text.removesuffix("\n").split("\n")
    end = "" if text.endswith("\n") else "\n\\ No newline at end of file"
    head = (
        f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n"
    )
    return (head + "\n".join(f"+{line}" for line in lines) + end + "\n").encode() if text else b""


def _root() -> Path:
    """The folder of the repository that tracks this code; of the code itself where there is none."""
    return Path(_git("rev-parse", "--show-toplevel").decode().strip() or Path(__file__).parents[1]).resolve()


def _listed(*arguments: str) -> list[str]:
    """What ``git ls-files`` lists, from the repository's folder on."""
    listed = _git("ls-files", "-z", "--full-name", *(arguments or (":/",)))
    return [name for name in listed.decode(errors="surrogateescape").split("\0") if name]


def _git(*arguments: str) -> bytes:
    """Output of a git command on the repository that tracks this code; empty where there is none."""
    source = Path(__file__).resolve()
    output = b""
    try:
        # An installed wheel may lie within somebody else's repository, which says nothing about this code.
        for words in (("ls-files", "--error-unmatch", str(source)), arguments):
            command = ["git", "-C", str(source.parent), *words]
            output = subprocess.run(command, check=True, capture_output=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return b""
    return output


def _processor() -> str:
    try:
        found = re.search(r"(?m)^model name\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor()
