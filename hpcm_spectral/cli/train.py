"""Train a codec: build, fit, export, draw, sum up."""

import contextlib
import logging
import math
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from hpcm_spectral.build import Run, build_run
from hpcm_spectral.cli.entry import config_folder
from hpcm_spectral.config import check_config, plain
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.evaluation.samples import write_samples
from hpcm_spectral.models import load_codec, save_codec
from hpcm_spectral.models.files import DESCRIPTION
from hpcm_spectral.models.init_from import initialise
from hpcm_spectral.models.sources import read_source
from hpcm_spectral.reports import write_run_figures
from hpcm_spectral.runs.folder import (
    BEST,
    CONFIG,
    LAST,
    LOCK,
    TRAIN_LOG,
    checkpoint_path,
    checkpoint_to_resume,
    hold,
)
from hpcm_spectral.runs.provenance import write_provenance
from hpcm_spectral.runs.saved_config import check_same_run, write_config
from hpcm_spectral.runs.summary import read_summary, seconds_so_far, write_summary
from hpcm_spectral.sweeps.jobs import run_job
from hpcm_spectral.sweeps.pruning import pruning_callbacks, was_pruned
from hpcm_spectral.training import count_parameters
from hpcm_spectral.training.checkpointing import check_fits, read_checkpoint
from hpcm_spectral.training.resources import accelerator_facts

log = logging.getLogger("hpcm_spectral")
DIAGNOSED = "diagnostics_seconds"
MANY_ON_A_CPU = 20_000_000  # parameters


def train_codec(cfg: DictConfig) -> float | None:
    """Run one training from a composed config, or one job of a sweep.

    Returns:
        The least ``val/loss`` of a job of a sweep.

    Raises:
        UserError: Something that the user can mend.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if hydra.mode is RunMode.MULTIRUN:
        if any(word.startswith("hydra.run.dir=") for word in hydra.overrides.hydra):
            raise ConfigError("hydra.run.dir must be left out of a sweep, got one; its folder is hydra.sweep.dir.")
        return run_job(cfg, folder, hydra.job.num, train_into)
    try:
        with hold(folder) if _is_main_process() else contextlib.nullcontext():
            train_into(cfg, folder, check_config(plain(cfg)).resume)
    finally:
        if _is_main_process():
            _drop_if_unused(folder)
    return None


def train_into(cfg: DictConfig, folder: Path, resume: str | None) -> dict[str, Any]:
    """Train into a run folder that no other process uses.

    Args:
        cfg: The composed config.
        folder: The run folder.
        resume: As the setting of that name.

    Returns:
        The run's summary.

    Raises:
        UserError: Something that the user can mend.
    """
    log_existed = (folder / TRAIN_LOG).exists()
    handler = None
    try:
        config = plain(cfg)
        settings = check_config(config)
        checkpoint = checkpoint_to_resume(resume, folder, fresh=_is_main_process())
        if checkpoint is None and resume is not None:
            log.info("no checkpoint in %s, starting anew", folder)
        if checkpoint is not None:
            check_same_run(config, folder)
            saved = read_checkpoint(checkpoint)
        if _is_main_process():
            handler = _log_to_file(folder)
        else:
            log.setLevel(logging.ERROR)
        # A run that continues has the weights in its checkpoint.
        fresh = settings.init_from if checkpoint is None else None
        source = None if fresh is None else read_source(fresh, "init_from", [settings.model["_target_"]])
        run = build_run(settings, folder, pruning_callbacks(settings))
        origin = {}
        if source is not None:
            initialise(run.module.codec, source, config_folder() / "model")
            log.info("initialised from %s", source)
            origin["initialised_from"] = source.origin()
            source = None  # a second copy of all weights
        epochs_done = 0
        if checkpoint is not None:
            check_fits(saved, run.module, checkpoint)
            epochs_done = saved["epoch"] + 1
            del saved  # a gigabyte for the large models, which Lightning reads again
        if not _is_main_process():
            _train(run, checkpoint)
            return {}
        if settings.trainer.get("fast_dev_run"):
            _train(run, checkpoint)
            log.info("fast_dev_run: training and validation went through; nothing is kept")
            return {"state": "tried"}
        max_epochs = run.settings.trainer["max_epochs"]
        if epochs_done >= max_epochs and (folder / DESCRIPTION).exists():
            log.info("%s has its %d epochs already; raise trainer.max_epochs to go on", folder, max_epochs)
            return read_summary(folder)
        write_config(folder, config, list(HydraConfig.get().overrides.task))
        write_provenance(folder, run.settings.seed, accelerator_facts(), **origin)
        for logger in run.trainer.loggers:
            logger.log_hyperparams(config)
        _introduce(run, folder, checkpoint)
        figures = _fit(run, folder, checkpoint)
        return _finish(run, folder, figures)
    except UserError as error:
        # The console gets it as the last line. A refused run leaves no trace.
        if handler is not None and (folder / CONFIG).exists():
            handler.handle(log.makeRecord(log.name, logging.ERROR, "", 0, str(error), (), None))
        raise
    finally:
        if handler is not None:
            log.removeHandler(handler)
            handler.close()
        if _is_main_process() and not log_existed and not (folder / CONFIG).exists():
            with contextlib.suppress(OSError):
                (folder / TRAIN_LOG).unlink(missing_ok=True)


def _is_main_process() -> bool:
    """Whether this process writes the run folder; Lightning starts the others with the same command line."""
    return not getattr(rank_zero_only, "rank", 0)


def _train(run: Run, checkpoint: Path | None) -> None:
    path = None if checkpoint is None else str(checkpoint)
    # Profilers print their tables through Lightning's logging, which is quiet here.
    tables = logging.getLogger("lightning.pytorch.profilers")
    tables.handlers, tables.propagate = log.handlers, False
    tables.setLevel(logging.INFO)
    run.trainer.fit(run.module, datamodule=run.data, ckpt_path=path, weights_only=True)


def _fit(run: Run, folder: Path, checkpoint: Path | None) -> dict[str, Any]:
    """Train and return the figures; the summary says ``finished`` only once there is a codec."""
    before = seconds_so_far(folder) if checkpoint is not None else 0.0
    if run.diagnostics is not None and checkpoint is not None:
        run.diagnostics.seconds += seconds_so_far(folder, DIAGNOSED)
    started = time.monotonic()
    write_summary(folder, {"state": "running", "seconds": before, **_diagnosed(run)})
    state, reason = "trained", None
    try:
        _train(run, checkpoint)
    except BaseException as error:
        # Lightning turns an interrupt from the keyboard into an exit of its own.
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            state = "interrupted"
            log.info("interrupted; go on from the last full epoch with resume=%s", folder)
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
    return {
        "epochs": run.trainer.current_epoch,
        "steps": run.trainer.global_step,
        "skipped_steps": int(run.module.skipped_steps),
        "seconds": round(seconds, 1),
        **_diagnosed(run),
        **{key: round(value, 4) for key, value in run.meter.summary().items()},
        "spectral": {key.removeprefix("spectral/"): float(value) for key, value in stages.items()},
        "best_val_loss": _best_loss(run),
        "val": {key.removeprefix("val/"): value if math.isfinite(value) else None for key, value in latest.items()},
    }


def _best_loss(run: Run) -> float | None:
    """The least ``val/loss`` of all sessions; None before the first validation."""
    for callback in run.trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_score is not None:
            return callback.best_model_score.item()
    return None


def _finish(run: Run, folder: Path, figures: dict[str, Any]) -> dict[str, Any]:
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
    training = {
        "loss": {"metric": loss.metric, "lmbda": loss.lmbda},
        "epochs": checkpoint["epoch"] + 1,
        "steps": checkpoint["global_step"],
    }
    save_codec(codec, folder, training=training)
    log.info("drawing pictures")
    exported = load_codec(folder, [codec.name]).to(run.trainer.strategy.root_device)
    write_samples(exported, run.data.val_dataloader(), run.data.val_names, folder)
    pictures = write_run_figures(folder)
    state = "pruned" if was_pruned(run.trainer) else "finished"
    summary = {"state": state, "error": None, "best_epoch": checkpoint["epoch"] + 1, **figures, **_stopped(run)}
    write_summary(folder, summary)
    _conclude(folder, summary, pictures)
    return summary


def _stopped(run: Run) -> dict[str, str]:
    """Why a callback has ended the training before its last epoch."""
    for callback in run.trainer.early_stopping_callbacks:
        if reason := callback.stopping_reason_message:
            return {"stopped": " ".join(reason.split())}
    return {}


def _introduce(run: Run, folder: Path, checkpoint: Path | None) -> None:
    settings = run.settings
    steps = len(run.data.train_dataloader()) // run.trainer.world_size
    epochs = settings.trainer["max_epochs"]
    log.info("run folder: %s", folder)
    log.info("%s: %s parameters", run.module.codec.name, f"{count_parameters(run.module.codec):,}")
    log.info("%d epochs of %d steps, batches of %d, on %s", epochs, steps, run.data.batch_size, _device(run))
    if checkpoint is not None:
        log.info("continuing from %s", checkpoint)
        if run.settings.init_from is not None:
            log.info("not initialised again from %s", run.settings.init_from)
    if _device(run) == "cpu" and count_parameters(run.module.codec) > MANY_ON_A_CPU:
        log.info("on a CPU this model takes seconds per image and step; model=hpcm_tiny trains in minutes")


def _conclude(folder: Path, figures: dict[str, Any], pictures: list[Path]) -> None:
    val = {key: value for key, value in figures["val"].items() if value is not None}
    log.info("")
    steps = "%s: %d epochs, %d steps, best at epoch %d"
    log.info(steps, figures["state"], figures["epochs"], figures["steps"], figures["best_epoch"])
    if "stopped" in figures:
        log.info("stopped early: %s", figures["stopped"])
    if {"loss", "bpp_loss", "psnr"} <= val.keys():
        log.info("last validation: loss %.3f, %.3f bpp, PSNR %.2f dB", val["loss"], val["bpp_loss"], val["psnr"])
    if "seconds_per_step" in figures:
        log.info("%.2f s per step, peak memory %.0f MiB", figures["seconds_per_step"], figures["peak_memory_mib"])
    if spent := figures.get(DIAGNOSED):
        log.info(
            "diagnostics took %.1f s, %.1f %% of %.0f s", spent, 100 * spent / figures["seconds"], figures["seconds"]
        )
    if figures["skipped_steps"]:
        log.info("%d steps without a finite gradient were skipped", figures["skipped_steps"])
    log.info("in %s: codec.safetensors, metrics.csv, %s", folder, ", ".join(p.name for p in pictures))


def _device(run: Run) -> str:
    return str(run.trainer.strategy.root_device.type)


def _log_to_file(folder: Path) -> logging.Handler:
    handler = logging.FileHandler(folder / TRAIN_LOG, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    return handler


def _drop_if_unused(folder: Path) -> None:
    """Remove the folder that Hydra made for a run that was refused, unless something else lies in it."""
    if not (folder / CONFIG).exists():
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
