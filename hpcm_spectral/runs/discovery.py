"""Finding run folders below what a user names."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hpcm_spectral.errors import ConfigError, one_line
from hpcm_spectral.runs.folder import CONFIG, METRICS, SUMMARY

# A folder with any of these is, or was meant to be, a run.
MARKS = (CONFIG, METRICS, SUMMARY)
FOREIGN = "it is no run folder and holds none"


class LeftOut(NamedTuple):
    """A folder that takes no part in the report, and why, as half a sentence or a whole one."""

    path: Path
    reason: str


def find_run_folders(given: Sequence[str]) -> tuple[list[Path], list[LeftOut]]:
    """The run folders among paths and globs and below them, each once, numbers in names in their order.

    Folders whose name begins with a dot, and those within a run folder, are not looked at.

    Returns:
        The run folders, and the topmost folders that hold none.

    Raises:
        ConfigError: A path does not exist, or a glob matches no folder.
    """
    found: dict[Path, Path] = {}
    left_out: dict[Path, LeftOut] = {}
    for path in (match for pattern in given for match in _matches(pattern)):
        runs, others = _below(path)
        found |= {run.resolve(): run for run in runs if run.resolve() not in found}
        left_out |= {other.path.resolve(): other for other in others}
    return list(found.values()), list(left_out.values())


def _matches(pattern: str) -> list[Path]:
    if not pattern.strip():
        raise ConfigError("runs must name folders that exist, but nothing is no name; . is the current folder.")
    path = Path(pattern).expanduser()
    if path.is_dir():
        return [path]
    if path.exists():
        raise ConfigError(f"runs must name folders, but {pattern} is a file; name the run's folder.")
    folders = [match for name in glob.glob(str(path), recursive=True) if (match := Path(name)).is_dir()]  # noqa: PTH207
    if not folders:
        raise ConfigError(f"runs must name folders that exist, but {pattern} matches none; check it.")
    return sorted(folders, key=_natural)


def _below(folder: Path) -> tuple[list[Path], list[LeftOut]]:
    """The run folders at and below a folder, and what holds none."""
    try:
        if any((folder / mark).exists() for mark in MARKS):
            return [folder], []
        # Links are not followed: they may lead back up.
        children = [p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith(".")]
    except OSError as error:
        return [], [LeftOut(folder, f"it cannot be read: {error.strerror or one_line(error)}")]
    found = [_below(child) for child in sorted(children, key=_natural)]
    runs = [run for below, _ in found for run in below]
    left_out = [other for _, others in found for other in others]
    if not runs and all(other.reason == FOREIGN for other in left_out):
        return [], [LeftOut(folder, FOREIGN)]
    return runs, left_out


def _natural(path: Path) -> list[tuple[float, str]]:
    """A sorting key by which job 10 follows job 9, and 0.0035 precedes 0.013."""
    return [(float(p), "") if p[:1].isdecimal() else (-1.0, p) for p in re.split(r"([0-9]+(?:\.[0-9]+)?)", str(path))]
