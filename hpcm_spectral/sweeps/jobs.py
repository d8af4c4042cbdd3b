"""One job of a sweep: what to do with the run that its folder may hold, and what to note about how it went."""

import contextlib
import itertools
import logging
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from hpcm_spectral.config import check_config, places_of, plain
from hpcm_spectral.errors import ConfigError, RefusedError, UserError
from hpcm_spectral.runs.folder import CONFIG, TRAIN_LOG, hold
from hpcm_spectral.runs.saved_config import check_same_run, has_moved
from hpcm_spectral.runs.summary import is_done, lacks_pictures, read_summary, write_summary
from hpcm_spectral.sweeps.processes import JobFailedError, needs_processes, slurm_session, task_rank, train_apart
from hpcm_spectral.sweeps.records import REPLACED, JobRecord, Outcome, await_record

log = logging.getLogger("hpcm_spectral")
# What two sessions of a sweep may differ in: nothing that the run's figures depend on.
FREE_IN_SWEEPS = (
    *("resume", "sweep", "logger", "diagnostics", "channels_last", "compile"),
    *("trainer.accelerator", "trainer.devices", "trainer.strategy", "trainer.log_every_n_steps", "trainer.max_time"),
)
Train = Callable[[DictConfig, Path, str | None], dict[str, Any]]


def run_job(cfg: DictConfig, sweep: Path, folder: Path, num: int, train: Train) -> float:
    """Train a job unless its folder shows that it is done.

    Of several tasks that a scheduler started for the job the first one does this; the others join the training that it
    begins on SLURM, and have nothing to do elsewhere, where the training's processes are Lightning's.

    Args:
        cfg: The job's config.
        sweep: The sweep's folder.
        folder: Its run folder.
        num: Its number in this session of the sweep.
        train: Trains into the folder, from the checkpoint that ``resume`` finds there, and returns the summary.

    Returns:
        The least ``val/loss``, for sweepers that choose by it; NaN if the job failed or was refused, which its record
        tells, as an error would end the sweep.
    """
    session = slurm_session()
    if task_rank() > 0:
        if session is not None and needs_processes(plain(cfg)["trainer"]):
            decided = await_record(sweep, num, session)
            if decided.outcome == "running":
                train(cfg, folder, decided.resume)
        return float("nan")
    started, before = time.monotonic(), read_summary(folder)
    name = os.path.relpath(folder, sweep)  # of several parts by a hydra.sweep.subdir of the user's
    mine = not (folder / CONFIG).exists()
    resume: str | None = None

    def note(outcome: Outcome, text: str = "", *, decided: bool = True) -> None:
        seconds = round(time.monotonic() - started, 1)
        JobRecord(num, name, outcome, seconds, text, session if decided else None, resume).write(sweep)

    note("running", decided=False)
    log.info("")
    log.info("job %d: %s", num, name)
    try:
        if name == ".":
            raise RefusedError("hydra.sweep.subdir must name a folder of its own for every job, got the sweep's own.")
        with contextlib.ExitStack() as held:
            held.enter_context(hold(folder))
            settings = check_config(plain(cfg))
            if settings.resume not in (None, "auto"):
                raise ConfigError(
                    f"resume must be left out of a sweep, got {settings.resume}; sweep.on_existing=resume goes on with "
                    "what its folder holds."
                )
            state = _run_state(folder)
            if state is not None and settings.sweep.on_existing == "restart":
                _move_away(folder)
                state = None
            if state is not None:
                try:
                    check_same_run(plain(cfg), folder, FREE_IN_SWEEPS, places_of(plain(cfg)))
                except UserError as error:
                    text = str(error).rstrip(".")
                    raise RefusedError(f"{text}, or replace that run with sweep.on_existing=restart.") from None
                done = is_done(read_summary(folder))
                whole = not lacks_pictures(folder) and not has_moved(plain(cfg), folder, places_of(plain(cfg)))
                if (done and whole) or settings.sweep.on_existing == "skip":
                    text = "" if done else f"{state}, left as it is (sweep.on_existing=skip)"
                    log.info("skipped: %s", text or f"{state} already")
                    note("skipped", text)
                    return _best_loss(read_summary(folder))
            mine = True
            resume = None if state is None else "auto"
            if session is None and needs_processes(settings.trainer):
                held.close()  # the job's own process takes the lock
                train_apart(sweep, folder, resume)
                summary = read_summary(folder)
            else:
                note("running")
                summary = train(cfg, folder, resume)
            note("pruned" if summary["state"] == "pruned" else "finished" if is_done(summary) else "stopped")
            return _best_loss(summary)
    except (KeyboardInterrupt, SystemExit):
        note("interrupted")
        raise
    except RefusedError as error:
        note("refused", str(error))
        log.error("job %d refused: %s", num, error)
    except Exception as error:  # whatever it is, the other jobs go on
        text = "".join(traceback.format_exception(error))
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, UserError):
            text = reason = str(error)
        if isinstance(error, JobFailedError):
            summary = read_summary(folder)
            own = summary.get("error") if summary != before else None
            text, reason = error.output, str(own or error)
        if mine:  # else the folder holds a run that this job has not touched
            _keep_error(folder, text, reason)
        note("failed", " ".join(reason.split()))
        log.error("job %d failed: %s", num, reason)
    return float("nan")


def _run_state(folder: Path) -> str | None:
    """The state of the run in a folder that nobody works in, where what says it is running was killed; None: no run."""
    if not (folder / CONFIG).exists():
        return None
    state = read_summary(folder).get("state", "interrupted")
    return "interrupted" if state in ("running", "trained") else str(state)


def _move_away(folder: Path) -> None:
    """Put a run where no sweep and no report looks, so that nothing is lost by mistake."""
    parent = folder.parent / REPLACED
    parent.mkdir(exist_ok=True)
    places = (parent / f"{folder.name}.{number}" for number in itertools.count(1))
    target = next(place for place in places if not place.exists())
    target.mkdir()
    for item in folder.iterdir():
        if item.name != ".lock":  # held by this process
            item.rename(target / item.name)
    log.info("the run that was here is now in %s", target)


def _keep_error(folder: Path, text: str, reason: str) -> None:
    """The full error in the job's own log, and its state for the next session."""
    # A job of its own process had let go of the folder for it, and another run may have come first.
    with contextlib.suppress(RefusedError), hold(folder):
        with contextlib.suppress(OSError), (folder / TRAIN_LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} ERROR {text.rstrip()}\n")
        with contextlib.suppress(OSError):
            write_summary(folder, {**read_summary(folder), "state": "failed", "error": reason})


def _best_loss(summary: dict[str, Any]) -> float:
    best = summary.get("best_val_loss")
    return float("nan") if best is None else float(best)
