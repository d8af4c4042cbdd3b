"""The run folder: where a run goes, and what it continues."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hpcm_spectral.errors import CheckpointError, ConfigError, RefusedError
from hpcm_spectral.files import write_text
from hpcm_spectral.flatten import flatten

CONFIG, OVERRIDES, SUMMARY, LOCK = "config.yaml", "overrides.txt", "summary.json", ".lock"
CHECKPOINTS, LAST, BEST = "checkpoints", "last", "best"
AUTO = "auto"
# What a resumed run must share with the run that it continues.
FIXED = ("model", "phase1", "phase2", "stages", "schedule", "loss", "data", "seed", "init_from")
FREE = ("phase2.divergence_limit", "data.num_workers", "data.cache_mb", "data.pin_memory", "data.on_error")


def checkpoint_path(run_folder: Path, name: str) -> Path:
    """Where a run folder keeps its checkpoint ``name``."""
    return run_folder / CHECKPOINTS / f"{name}.ckpt"


def run_folder_for(resume: object, default: str) -> str:
    """The run folder that ``resume`` continues, if it names one, else ``default``."""
    if not isinstance(resume, str) or resume == AUTO:
        return default
    path = Path(resume)
    if path.suffix == ".ckpt":
        return str(path.parent.parent if path.parent.name == CHECKPOINTS else path.parent)
    return str(path)


def with_saved_overrides(arguments: list[str]) -> list[str]:
    """Command-line arguments, before them the overrides of the run that ``resume=PATH`` continues.

    What is given anew replaces what was saved; another option of a group replaces the group's settings, too.
    """
    given = {_key(argument) for argument in arguments}
    resume = next((a.partition("=")[2].strip("'\"") for a in arguments if _key(a) == "resume"), AUTO)
    saved = Path(run_folder_for(resume, "")) / OVERRIDES
    if resume in (AUTO, "null", "") or not saved.is_file():
        return arguments
    lines = saved.read_text(encoding="utf-8").splitlines()
    anew = {_key(argument) for argument in arguments if argument not in lines}
    kept = [line for line in lines if line and _key(line) not in given and _key(line).split(".")[0] not in anew]
    # An experiment that sweeps would start a sweep again; this is one of its jobs.
    mode = [] if given & {"hydra.mode", "-m", "--multirun"} else ["hydra.mode=RUN"]
    return kept + mode + arguments


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


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
    path = Path(resume)
    found = path if path.suffix == ".ckpt" else last
    if not found.is_file():
        raise CheckpointError(
            f"resume must name a run folder with a checkpoint, or a checkpoint, got {resume}; {found} does not exist."
        )
    return found


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run folder; the system lets go of it when this one ends, however it ends.

    Raises:
        RefusedError: Another process is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, is_singleton=True)
    try:
        with lock.acquire(timeout=0):
            try:
                yield
            finally:
                (folder / LOCK).unlink(missing_ok=True)
    except Timeout:
        raise RefusedError(
            f"A run must have its folder for itself, but another process is at work in {folder}; wait for it, or set "
            "hydra.run.dir (of a sweep, hydra.sweep.dir)."
        ) from None


def check_same_run(config: Mapping[str, Any], folder: Path, free: Sequence[str] | None = None) -> None:
    """Refuse to continue a run under another model, loss, stage or seed.

    Args:
        config: The config of the session that would continue it.
        folder: The run folder.
        free: Settings and groups that may differ, all others may not; None takes what does not make it another run.

    Raises:
        ConfigError: They differ; the message names the first such key.
    """
    path = folder / CONFIG
    if not path.exists():
        return
    try:
        old = flatten(OmegaConf.to_container(OmegaConf.load(path)))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        raise CheckpointError(f"{path} must be the config of the run to continue, but it is damaged.") from None
    new = flatten(dict(config))
    if not any(key.split(".")[0] == "stages" for key in old):  # from before there was such a group
        old["stages"] = {}
    for key in sorted(old.keys() | new.keys()):
        group = key.split(".")[0]
        fixed = group in FIXED if free is None else not {key, group} & set(free)
        if fixed and key not in FREE and old.get(key) != new.get(key):
            raise ConfigError(
                f"{key} must stay {_shown(old, key)} to continue the run in {folder}, got {_shown(new, key)}; start a "
                "new run to change it."
            )


def _shown(settings: Mapping[str, Any], key: str) -> str:
    """A value as YAML writes it; a group without settings is off."""
    value = settings.get(key, ...)
    if value is ... or value == {}:
        return "off" if value == {} else "on" if any(other.startswith(f"{key}.") for other in settings) else "absent"
    return json.dumps(value, ensure_ascii=False)


def write_config(folder: Path, config: Mapping[str, Any], overrides: list[str]) -> None:
    """Keep the resolved config and the overrides that made it."""
    write_text(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(dict(config))))
    kept = [override for override in overrides if _key(override) != "resume"]
    write_text(folder / OVERRIDES, "".join(f"{override}\n" for override in kept))


def seconds_so_far(folder: Path, key: str = "seconds") -> float:
    """Time of a run's earlier sessions: of training, or of another figure of the summary."""
    try:
        return float(json.loads((folder / SUMMARY).read_text(encoding="utf-8"))[key])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Keep the run's state and final figures."""
    write_text(folder / SUMMARY, json.dumps(dict(summary), indent=2) + "\n")
