"""Train a codec: check, build, fit, export, draw, sum up."""

import contextlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, read_write

from hpcm_spectral.build import Run, build_run, start_loggers
from hpcm_spectral.cli.entry import config_folder
from hpcm_spectral.cli.session import draw, finish, fit, train
from hpcm_spectral.config import check_config, places_of, plain
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.models.exported import DESCRIPTION
from hpcm_spectral.models.init_from import initialise
from hpcm_spectral.models.sources import read_source
from hpcm_spectral.names import PlainFormatter
from hpcm_spectral.runs.folder import AUTO, CONFIG, LOCK, TRAIN_LOG, checkpoint_to_resume, hold, hold_new
from hpcm_spectral.runs.phases import read_phases
from hpcm_spectral.runs.provenance import check_same_data, write_provenance
from hpcm_spectral.runs.saved_config import check_same_run, write_config
from hpcm_spectral.runs.summary import DONE, lacks_pictures, read_summary
from hpcm_spectral.sweeps.jobs import run_job
from hpcm_spectral.sweeps.processes import check_rank
from hpcm_spectral.sweeps.pruning import pruning_callbacks
from hpcm_spectral.training import count_parameters
from hpcm_spectral.training.checkpointing import check_fits, epochs_done, read_checkpoint
from hpcm_spectral.training.limits import limit_of_steps
from hpcm_spectral.training.resources import accelerator_facts

log = logging.getLogger("hpcm_spectral")
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
        return run_job(cfg, Path(hydra.runtime.cwd, hydra.sweep.dir), folder, hydra.job.num, train_into)
    resume = cfg.get("resume")
    # Runs that start within a second have the same date.
    dated = resume in (None, AUTO) and "${now:" in OmegaConf.to_yaml(hydra.run)
    if not _is_main_process():
        try:
            train_into(cfg, folder, resume)
        except UserError:
            _remove_empty(folder, *(folder.parents[:2] if dated else ()))
            raise
        return None
    with (hold_new if dated else hold)(folder) as place, _leaving_nothing(place, place.parents[:2] if dated else ()):
        if place != folder:
            folder = place
            with read_write(hydra):  # type: ignore[arg-type]
                # Lightning names it to further processes.
                hydra.run.dir = hydra.runtime.output_dir = str(folder)
        train_into(cfg, folder, resume)
    return None


def _overrides_as_written() -> list[str]:
    """This process's overrides as they were given; Hydra hands them out with their references filled in."""
    words = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return [str(word) for word in words or ()]


@contextlib.contextmanager
def _leaving_nothing(folder: Path, above: Sequence[Path] = ()) -> Iterator[None]:
    """Remove what a run has left that was refused before it began; while its folder is held, nobody else is there."""
    before = set(folder.iterdir()) - {folder / LOCK}
    try:
        yield
    finally:
        if not (folder / CONFIG).exists():
            for path in set(folder.iterdir()) - before:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            _remove_empty(folder, *above)


def _remove_empty(*folders: Path) -> None:
    """Remove folders that hold nothing, each within the next one."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def train_into(cfg: DictConfig, folder: Path, resume: Any) -> dict[str, Any]:
    """Train into a run folder that no other process uses.

    Args:
        cfg: The composed config.
        folder: The run folder.
        resume: As the setting of that name, not checked yet.

    Returns:
        The run's summary.

    Raises:
        UserError: Something that the user can mend.
    """
    config = plain(cfg)
    settings = check_config(config)
    check_rank(settings.trainer)
    checkpoint = checkpoint_to_resume(resume, folder, fresh=_is_main_process())
    saved = None
    if checkpoint is not None:
        check_same_run(config, folder, places=places_of(config))
        saved = read_checkpoint(checkpoint)
        read_phases(folder)  # what would stop the run later must not have changed it
    elif resume is not None:
        log.info("no checkpoint in %s, starting anew", folder)
    # A run that continues has the weights in its checkpoint.
    init_from = settings.init_from if saved is None else None
    with _logging_to(folder):
        source = read_source(init_from, "init_from", [settings.model["_target_"]]) if init_from is not None else None
        run = build_run(settings, folder, pruning_callbacks(settings))
        contents = run.data.contents()
        if checkpoint is not None:
            check_same_data(folder, contents)
        _check_lmbdas(run)
        origin = {}
        if source is not None:
            initialise(run.module.codec, source, config_folder() / "model")
            log.info("initialised from %s", source)
            origin["initialised_from"] = source.origin()
        done = 0, 0
        if checkpoint is not None and saved is not None:
            check_fits(saved, run.module, checkpoint)
            done = epochs_done(saved), saved["global_step"]
        # Second copies of all weights, a gigabyte for the large models; Lightning reads the checkpoint again.
        del source, saved
        if not _is_main_process():
            train(run, checkpoint)
            return {}
        if settings.trainer.get("fast_dev_run"):
            train(run, checkpoint)
            log.info("fast_dev_run: training and validation went through; nothing is kept")
            return {"state": "tried"}
        limits = {"max_epochs": settings.trainer["max_epochs"], "max_steps": limit_of_steps(settings.trainer)}
        reached = next((key for key, have in zip(limits, done, strict=True) if have >= limits[key]), None)
        if reached is not None:
            return _nothing_to_train(run, folder, checkpoint, reached)
        start_loggers(run.trainer.loggers, config)
        write_provenance(folder, settings.seed, accelerator_facts(), data=contents, **origin)
        write_config(folder, config, _overrides_as_written())
        _introduce(run, folder, checkpoint)
        return finish(run, folder, fit(run, folder, checkpoint))


def _nothing_to_train(run: Run, folder: Path, checkpoint: Path | None, limit: str) -> dict[str, Any]:
    """Make up for what a run that is trained lacks, its codec or its pictures; the summary."""
    summary = read_summary(folder)
    if summary.get("state") not in (*DONE, "stopped") or not (folder / DESCRIPTION).exists():
        log.info("%s is trained, but was not exported to the end", folder)
        # Of a run that was killed as it ended, the figures are not in the summary.
        return finish(run, folder, summary if "val" in summary else fit(run, folder, checkpoint))
    things = limit.removeprefix("max_")
    have = run.settings.trainer[limit]
    log.info("%s has its %d %s already; raise trainer.%s to go on", folder, have, things, limit)
    if lacks_pictures(folder):
        draw(run, folder, summary)
    return summary


def _check_lmbdas(run: Run) -> None:
    """Refuse a lambda that nothing uses, and a range of them that is another metric's."""
    lmbdas = run.module.codec.lmbdas
    if lmbdas is not None and run.module.loss.metric == "ms_ssim" and lmbdas[-1] < 1:
        raise ConfigError(
            f"loss.metric=ms_ssim must have rate levels with a lambda above 1 (published are 2.4 to 60.5), got "
            f"{lmbdas[0]:.4f} to {lmbdas[-1]:.4f}; set the model's range of lambda."
        )
    keys = [override.split("=")[0].lstrip("+~") for override in HydraConfig.get().overrides.task]
    if lmbdas is not None and "loss.lmbda" in keys:
        raise ConfigError(
            f"loss.lmbda has no effect on a codec of {run.module.codec.levels} rate levels, each of which has its own; "
            "leave it out, set the model's range of lambda, or give the model one level."
        )


def _is_main_process() -> bool:
    """Whether this process writes the run folder; Lightning starts the others with the same command line."""
    return not getattr(rank_zero_only, "rank", 0)


@contextlib.contextmanager
def _logging_to(folder: Path) -> Iterator[None]:
    """Keep what is said, a user's error included, in the run's log; a refused run leaves no trace."""
    if not _is_main_process():
        log.setLevel(logging.ERROR)
        yield
        return
    path = folder / TRAIN_LOG
    existed = path.exists()
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    except UserError as error:
        # The console gets it as the last line.
        if (folder / CONFIG).exists():
            handler.handle(log.makeRecord(log.name, logging.ERROR, "", 0, str(error), (), None))
        raise
    finally:
        log.removeHandler(handler)
        handler.close()
        if not existed and not (folder / CONFIG).exists():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _introduce(run: Run, folder: Path, checkpoint: Path | None) -> None:
    settings = run.settings
    steps = len(run.data.train_dataloader()) // run.trainer.world_size
    epochs = settings.trainer["max_epochs"]
    device, parameters = run.trainer.strategy.root_device.type, count_parameters(run.module.codec)
    log.info("run folder: %s", folder)
    log.info("%s: %s parameters", run.module.codec.name, f"{parameters:,}")
    if (lmbdas := run.module.codec.lmbdas) is not None:
        first, last = lmbdas[0], lmbdas[-1]
        of_mse = f"x 255^2: {255**2 * first:.0f} to {255**2 * last:.0f}"
        unit = of_mse if run.module.loss.metric == "mse" else "of 1 - MS-SSIM"
        log.info("%d rate levels, lambda %.4f to %.4f (%s)", len(lmbdas), first, last, unit)
    log.info("%d epochs of %d steps, batches of %d, on %s", epochs, steps, run.data.batch_size, device)
    if checkpoint is not None:
        log.info("continuing from %s", checkpoint)
        if run.settings.init_from is not None:
            log.info("not initialised again from %s", run.settings.init_from)
    if device == "cpu" and parameters > MANY_ON_A_CPU:
        log.info(
            "on a CPU this model takes seconds per image and step; model=hpcm_tiny and model=dhic_tiny train in minutes"
        )
