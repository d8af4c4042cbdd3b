"""One session of training: fitting, the figures it leaves, the exported codec, and what the log says of them."""

import contextlib
import logging
import math
import re
import shlex
import time
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger

from hpcm_spectral.build import Run
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.evaluation.samples import write_samples
from hpcm_spectral.models import load_codec, save_codec
from hpcm_spectral.reports import write_run_figures
from hpcm_spectral.runs.folder import BEST, LAST, checkpoint_path
from hpcm_spectral.runs.summary import seconds_so_far, write_summary
from hpcm_spectral.sweeps.pruning import was_pruned
from hpcm_spectral.training.checkpointing import read_checkpoint

log = logging.getLogger("hpcm_spectral")
DIAGNOSED = "diagnostics_seconds"


def train(run: Run, checkpoint: Path | None) -> None:
    """Train, from a checkpoint if there is one; nothing but what the callbacks keep is kept."""
    # Profilers print their tables through Lightning's logging, which is quiet here.
    tables = logging.getLogger("lightning.pytorch.profilers")
    tables.handlers, tables.propagate = log.handlers, False
    tables.setLevel(logging.INFO)
    run.trainer.fit(run.module, datamodule=run.data, ckpt_path=checkpoint and str(checkpoint), weights_only=True)


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
    except BaseException as error:
        # Lightning turns an interrupt from the keyboard into an exit of its own.
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            state = "interrupted"
            log.info("interrupted; go on from the last full epoch with %s", shlex.quote(f"resume={folder}"))
            raise KeyboardInterrupt from None
        state, reason = "failed", f"{type(error).__name__}: {error}"
        with contextlib.suppress(UserError, OSError):  # the error that is under way says more
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
    """Export the best codec, decode a few photographs with it, draw, and say where everything is; the summary."""
    best = checkpoint_path(folder, BEST)
    source = best if best.exists() else checkpoint_path(folder, LAST)
    if not source.exists():
        raise ConfigError(
            f"trainer must leave at least one step to train, but {folder} has no checkpoint after {figures['steps']} "
            "steps; check its limits."
        )
    checkpoint = read_checkpoint(source)
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
    log.info("drawing pictures")
    exported = load_codec(folder, [codec.name]).to(run.trainer.strategy.root_device)
    write_samples(exported, run.data.val_dataloader(), run.data.val_names, folder)
    pictures = write_run_figures(folder)
    state = "pruned" if was_pruned(run.trainer) else "finished"
    summary = {"state": state, "error": None, "best_epoch": checkpoint["epoch"] + 1, **figures}
    reasons = [callback.stopping_reason_message for callback in run.trainer.early_stopping_callbacks]
    if reason := next(filter(None, reasons), None):
        summary["stopped"] = " ".join(reason.split())
    write_summary(folder, summary)
    _conclude(folder, summary, pictures)
    return summary


def _conclude(folder: Path, figures: dict[str, Any], pictures: list[Path]) -> None:
    val = {key: value for key, value in figures["val"].items() if value is not None}
    log.info("")
    steps = "%s: %d epochs, %d steps, best at epoch %d"
    log.info(steps, figures["state"], figures["epochs"], figures["steps"], figures["best_epoch"])
    if "stopped" in figures:
        log.info("stopped early: %s", figures["stopped"])
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
    log.info("in %s: codec.safetensors, metrics.csv, %s", folder, ", ".join(p.name for p in pictures))
