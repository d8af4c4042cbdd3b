"""The run folder: the names in it, which one a run goes to, what it continues, and who may write there."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hpcm_spectral.errors import CheckpointError, ConfigError, RefusedError
from hpcm_spectral.files import user_path

CONFIG, OVERRIDES, METRICS, SUMMARY = "config.yaml", "overrides.txt", "metrics.csv", "summary.json"
PROVENANCE, PHASES, TRAIN_LOG, LOCK = "provenance.json", "phases.json", "train.log", ".lock"
CHECKPOINTS, LAST, BEST = "checkpoints", "last", "best"
AUTO = "auto"


def checkpoint_path(run_folder: Path, name: str) -> Path:
    """Where a run folder keeps its checkpoint ``name``."""
    return run_folder / CHECKPOINTS / f"{name}.ckpt"


def run_folder_for(resume: object, default: str) -> str:
    """The run folder that ``resume`` continues, if it names one, else ``default``."""
    if not isinstance(resume, str) or resume == AUTO:
        return default
    path = user_path(resume)
    return str(folder_of(path) if path.suffix == ".ckpt" else path)


def folder_of(checkpoint: Path) -> Path:
    """The run folder that a checkpoint lies in; its own folder if it lies alone."""
    return checkpoint.parent.parent if checkpoint.parent.name == CHECKPOINTS else checkpoint.parent


def checkpoint_to_resume(resume: str | None, folder: Path, *, fresh: bool = True) -> Path | None:
    """The checkpoint that a run starts from; None for a fresh start.

    Args:
        resume: The setting.
        folder: The run folder.
        fresh: A fresh start needs a fresh folder; false where another process of the same run may have begun it.

    Raises:
        CheckpointError: ``resume`` names a checkpoint that does not exist.
        ConfigError: The folder already holds a run that ``resume`` does not continue.
    """
    last = checkpoint_path(folder, LAST)
    if resume is None:
        if fresh and (last.exists() or (folder / CONFIG).exists()):
            raise ConfigError(
                f"hydra.run.dir (of a sweep, hydra.sweep.dir) must name a new folder, but {folder} already holds a "
                "run; choose another or continue this one with resume=auto."
            )
        return None
    if resume == AUTO:
        return last if last.exists() else None
    path = user_path(resume)
    found = path if path.suffix == ".ckpt" else last
    if not found.is_file():
        raise CheckpointError(
            f"resume must name a run folder with a checkpoint, or a checkpoint, got {resume}; {found} does not exist."
        )
    return found


@contextlib.contextmanager
def hold_new(folder: Path) -> Iterator[Path]:
    """Keep others out of a new folder: this one, or NAME-2 and so on where another run has it already."""
    for number in itertools.count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(hold(place))
            except RefusedError:
                continue
            if not (place / CONFIG).exists():
                yield place
                return


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Path]:
    """Keep other processes out of a run folder; the system lets go of it when this one ends, however it ends.

    Raises:
        RefusedError: Another process is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, is_singleton=True)
    try:
        with lock.acquire(timeout=0):
            try:
                yield folder
            finally:
                (folder / LOCK).unlink(missing_ok=True)
    except Timeout:
        raise RefusedError(
            f"A run must have its folder for itself, but another process is at work in {folder}; wait for it, or set "
            "hydra.run.dir (of a sweep, hydra.sweep.dir)."
        ) from None
