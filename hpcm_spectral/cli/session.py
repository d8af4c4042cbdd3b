"""One session of training: fitting, the figures it leaves, the exported codec, and what the log says of them."""

import contextlib
import logging
import math
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger

from hpcm_spectral.build import Run
from hpcm_spectral.errors import ConfigError, first_line
from hpcm_spectral.evaluation.samples import write_samples
from hpcm_spectral.models import load_codec, save_codec
from hpcm_spectral.reports import write_run_figures
from hpcm_spectral.runs.folder import BEST, LAST, checkpoint_path
from hpcm_spectral.runs.summary import seconds_so_far, write_summary
from hpcm_spectral.sweeps.pruning import was_pruned
from hpcm_spectral.training.checkpointing import read_checkpoint
from hpcm_spectral.training.limits import limit_of_steps
from hpcm_spectral.training.stopping import TrainingStopped

log = logging.getLogger("hpcm_spectral")
DIAGNOSED = "diagnostics_seconds"


def train(run: Run, checkpoint: Path | None) -> None:
    """Train, from a checkpoint if there is one, until it ends or is stopped; only what callbacks keep is kept."""
    # Profilers print their tables through Lightning's logging, which is quiet here.
    tables = logging.getLogger("lightning.pytorch.profilers")
    tables.handlers, tables.propagate = log.handlers, False
    tables.setLevel(logging.INFO)
    path = checkpoint and str(checkpoint)
    try:
        with run.stopping.listening():
            run.trainer.fit(run.module, datamodule=run.data, ckpt_path=path, weights_only=True)
    except TrainingStopped:
        run.trainer.profiler.describe()  # type: ignore[attr-defined]  # as Lightning does at the end


def fit(run: Run, folder: Path, checkpoint: Path | None) -> dict[str, Any]:
    """Train and return the figures; the summary says ``finished`` only once there is a codec."""
    before = 0.0
    if checkpoint is not None:
        before = seconds_so_far(folder)
        if run.diagnostics is not None:
            run.diagnostics.seconds += seconds_so_far(folder, DIAGNOSED)
    started = time.monotonic()
    write_summary(folder, {"state": "running", "seconds": before, **_diagnosed(run)})
    state, reason = "trained", None
    try:
        train(run, checkpoint)
        if run.stopping.reason == "signal" and run.trainer.current_epoch < run.settings.trainer["max_epochs"]:
            raise run.stopping.interruption()
    except BaseException as error:
        # Lightning turns an interrupt from the keyboard into an exit of its own.
        if isinstance(error, (KeyboardInterrupt, SystemExit)) or run.stopping.reason == "signal":
            state = "interrupted"
            if isinstance(error, Exception):  # such as of a worker that the signal has reached, too
                log.warning("while stopping: %s: %s", type(error).__name__, first_line(error))
            if not checkpoint_path(folder, LAST).exists():
                log.info("interrupted before anything was kept; the same command with resume=auto begins anew")
                raise run.stopping.interruption() from None
            place = f"step {run.trainer.global_step}" if run.stopping.kept else "the last checkpoint"
            log.info("interrupted; go on from %s with %s", place, _resume(folder))
            raise run.stopping.interruption() from None
        state, reason = "failed", f"{type(error).__name__}: {error}"
        with contextlib.suppress(Exception):  # the error that is under way says more
            write_run_figures(folder)
        raise
    finally:
        figures = _figures(run, before + time.monotonic() - started)
        with contextlib.suppress(OSError):  # a full disk, whose own error is under way
            write_summary(folder, {"state": state, "error": reason, **figures})
        for logger in run.trainer.loggers:
            if isinstance(logger, WandbLogger):
                # Another job of a sweep, in the same process, must get a W&B run of its own.
                logger.experiment.finish(exit_code=0 if reason is None else 1)
    return figures


def _resume(folder: Path) -> str:
    """What goes on with a run, to be pasted."""
    return shlex.quote(f"resume={folder}")


def _diagnosed(run: Run) -> dict[str, float]:
    return {DIAGNOSED: round(run.diagnostics.seconds, 2)} if run.diagnostics is not None else {}


def _figures(run: Run, seconds: float) -> dict[str, Any]:
    latest = {key: value.item() for key, value in run.trainer.callback_metrics.items() if key.startswith("val/")}
    stages = run.module.latest.numbers if run.module.latest else {}
    watching = [c for c in run.trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor]
    best = next((c.best_model_score.item() for c in watching if c.best_model_score is not None), None)
    return {
        "epochs": run.trainer.current_epoch,
        "steps": run.trainer.global_step,
        "skipped_steps": int(run.module.skipped_steps),
        "seconds": round(seconds, 1),
        **_diagnosed(run),
        **{key: round(value, 4) for key, value in run.meter.summary().items()},
        "spectral": {key.removeprefix("spectral/"): float(value) for key, value in stages.items()},
        "best_val_loss": best,
        "val": {key.removeprefix("val/"): value if math.isfinite(value) else None for key, value in latest.items()},
    }


def finish(run: Run, folder: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """Export the best codec, draw, and say where everything is; the summary.

    Raises:
        KeyboardInterrupt: The training was to be interrupted when it ended, or SystemExit: the codec is exported, and
            pictures are not drawn.
    """
    last = checkpoint_path(folder, LAST)
    if not last.exists():
        raise ConfigError(
            f"trainer must leave at least one step to train, but {folder} has no checkpoint after {figures['steps']} "
            "steps; check its limits."
        )
    best = checkpoint_path(folder, BEST)
    checkpoint = read_checkpoint(best if best.exists() else last)
    _export(run, folder, checkpoint)
    ending = _ending(run, figures)
    epochs = checkpoint["epoch"] + 1  # also of weights that were validated within an epoch
    kept = {key: value for key, value in figures.items() if key not in ("stopped", "complete")}
    summary = {**kept, "error": None, "best_epoch": epochs, **ending, "pictures": False}
    # From here on the run is what its state says, whatever becomes of the pictures.
    write_summary(folder, summary)
    pictures = [] if run.stopping.reason == "signal" else draw(run, folder, summary)
    _conclude(folder, summary, pictures)
    if run.stopping.reason == "signal":
        raise run.stopping.interruption()
    return summary


def _export(run: Run, folder: Path, checkpoint: Mapping[str, Any]) -> None:
    prefix = "codec."
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    codec = run.module.codec
    codec.load_state_dict(weights)
    codec.settle()
    loss = run.module.loss
    lmbda = loss.lmbda if codec.lmbdas is None else [codec.lmbdas[0], codec.lmbdas[-1]]
    training = {
        "loss": {"metric": loss.metric, "lmbda": lmbda},
        "epochs": checkpoint["epoch"] + 1,
        "steps": checkpoint["global_step"],
    }
    save_codec(codec, folder, training=training)


def _ending(run: Run, figures: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a run that is trained as far as its settings let it, and what ended it before its last epoch."""
    settings, reason = run.settings.trainer, run.stopping.reason
    if was_pruned(run.trainer):
        return {"state": "pruned"}
    if figures["epochs"] >= settings["max_epochs"]:
        return {"state": "finished"}
    if reason == "criterion":
        messages = [callback.stopping_reason_message for callback in run.trainer.early_stopping_callbacks]
        return {"state": "finished", "stopped": " ".join((next(filter(None, messages), None) or "early").split())}
    if limit_of_steps(settings) <= figures["steps"]:
        return {"state": "stopped", "stopped": f"trainer.max_steps={settings['max_steps']}", "complete": True}
    if reason == "max_time":
        limit = settings.get("max_time")
        return {"state": "stopped", "stopped": "a Timer's duration" if limit is None else f"trainer.max_time={limit}"}
    return {"state": "stopped", "stopped": "a callback ended the training"}


def draw(run: Run, folder: Path, summary: dict[str, Any]) -> list[Path]:
    """Decode a few photographs with the exported codec and draw; the pictures.

    What fails here is said and costs nothing but pictures, which the next ``resume`` draws.
    """
    log.info("drawing pictures")
    try:
        exported = load_codec(folder, [run.module.codec.name]).to(run.trainer.strategy.root_device)
        write_samples(exported, run.data.val_dataloader(), run.data.val_names, folder)
        pictures = write_run_figures(folder)
    except Exception as error:
        log.warning("no pictures: %s; %s draws them", first_line(error), _resume(folder))
        log.debug("", exc_info=True)
        return []
    summary["pictures"] = True
    write_summary(folder, summary)
    return pictures


def _conclude(folder: Path, figures: dict[str, Any], pictures: list[Path]) -> None:
    val = {key: value for key, value in figures["val"].items() if value is not None}
    log.info("")
    steps = "%s: %d epochs, %d steps, best at epoch %d"
    log.info(steps, figures["state"], figures["epochs"], figures["steps"], figures["best_epoch"])
    if "stopped" in figures:
        log.info("stopped early: %s", figures["stopped"])
    if figures["state"] == "stopped":
        raising = " and a larger trainer.max_steps" if figures.get("complete") else ""
        log.info("go on from this step with %s%s", _resume(folder), raising)
    if {"loss", "bpp_loss", "psnr"} <= val.keys():
        of = "last validation: loss %.3f, %.3f bpp, PSNR %.2f dB"
        log.info(of, val["loss"], val["bpp_loss"], val["psnr"])
        for level in sorted(int(key.split("/")[0][6:]) for key in val if re.fullmatch(r"level_\d+/psnr", key)):
            own = {key: val.get(f"level_{level}/{key}", math.nan) for key in ("lmbda", "bpp_loss", "psnr")}
            log.info("  level %d, lambda %.4f: %.3f bpp, PSNR %.2f dB", level, *own.values())
    if "seconds_per_step" in figures:
        log.info("%.2f s per step, peak memory %.0f MiB", figures["seconds_per_step"], figures["peak_memory_mib"])
    if spent := figures.get(DIAGNOSED):
        log.info(
            "diagnostics took %.1f s, %.1f %% of %.0f s", spent, 100 * spent / figures["seconds"], figures["seconds"]
        )
    if figures["skipped_steps"]:
        log.info("%d steps without a finite gradient were skipped", figures["skipped_steps"])
    log.info("in %s: %s", folder, ", ".join(["codec.safetensors", "metrics.csv", *(p.name for p in pictures)]))
