"""From a checked config to objects: the only caller of Hydra's ``instantiate``."""

import logging
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from compressai.models import CompressionModel
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from hpcm_spectral.config import RunSettings, first_line
from hpcm_spectral.data import ImageDataModule
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.files import write_text
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.reports import write_spectral_evolution
from hpcm_spectral.schedules import TauSchedule
from hpcm_spectral.stages import InputStage, PenaltyStage, Stage
from hpcm_spectral.training import (
    AdamRecipe,
    AtomicCheckpointIO,
    CodecModule,
    RunCsvLogger,
    SpectralDiagnostics,
    checkpoint_callbacks,
)
from hpcm_spectral.training.callbacks import LogPhase, ResourceMeter, progress_display

log = logging.getLogger(__name__)
MAX_LOG_INTERVAL = 50
STAGES = ("phase1", "phase2")
DDP_NAMES = {"auto": "ddp_find_unused_parameters_true"} | {
    name: f"{name}_find_unused_parameters_true" for name in ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")
}


@dataclass(frozen=True)
class Run:
    """Everything that a training run is made of."""

    settings: RunSettings
    data: ImageDataModule
    module: CodecModule
    trainer: pl.Trainer
    meter: ResourceMeter
    csv: RunCsvLogger
    diagnostics: SpectralDiagnostics | None


def build_node(node: Mapping[str, Any], key: str, **supplied: Any) -> Any:
    """Build one object from its settings.

    Raises:
        ConfigError: The class refuses a value.
    """
    try:
        return instantiate(dict(node), **supplied)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ValueError):
            # A class starts its message with the argument's name.
            first = str(cause).split(" ", 1)[0]
            sentence = (
                f"{_owner(node, key, str(cause))}.{cause}" if first in _names(node) else f"{key}: {first_line(cause)}."
            )
            raise ConfigError(sentence) from None
        if isinstance(cause, (MisconfigurationException, ImportError, TypeError)):
            raise ConfigError(f"{key} does not fit this machine: {first_line(cause).rstrip('!')}.") from None
        raise cause or error from None


def _names(node: Mapping[str, Any]) -> set[str]:
    """All keys of settings and of the settings within them."""
    inner = [_names(value) for value in node.values() if isinstance(value, Mapping)]
    return set(node).union(*inner)


def _owner(node: Mapping[str, Any], key: str, message: str) -> str:
    """The key of the innermost settings that hold the argument which a message starts with."""
    name = message.split(" ", 1)[0]
    for child, value in node.items():
        if name not in node and isinstance(value, Mapping) and name in value:
            return f"{key}.{child}"
    return key


def build_stages(settings: RunSettings) -> list[Stage]:
    """Phase 1 and phase 2, as far as they are on.

    Raises:
        ConfigError: A stage is none, or refuses a value.
    """
    # phase1.schedule is a copy of the schedule; building that first names it in its own errors.
    schedule = build_node(settings.schedule, "schedule")
    if not isinstance(schedule, TauSchedule):
        raise ConfigError(f"schedule._target_ must name a TauSchedule, got {settings.schedule['_target_']}.")
    stages = []
    for key in STAGES:
        if node := getattr(settings, key):
            stage = build_node(node, key)
            if not isinstance(stage, Stage):
                raise ConfigError(f"{key}._target_ must name a Stage, got {node['_target_']}.")
            stages.append(stage)
    return stages


def _prepare_stages(settings: RunSettings, stages: Sequence[Stage], codec: torch.nn.Module, crop_size: int) -> None:
    """Show the codec's latents to the stages that use them, without drawing from the run's random numbers.

    Raises:
        ConfigError: The model has no latents to show, or they do not fit a stage's settings.
    """
    keys = [key for key in STAGES if getattr(settings, key)]
    prepared = {key: stage for key, stage in zip(keys, stages, strict=True) if isinstance(stage, PenaltyStage)}
    if not prepared:
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(settings.seed)
        out = codec.eval()(torch.zeros(1, 3, crop_size, crop_size))
        codec.train()
        for key, stage in prepared.items():
            if "latents" not in out:
                raise ConfigError(
                    f"model must return the latents of its scales for {key}, got {', '.join(out)}; choose another or "
                    f"{key}=off."
                )
            try:
                stage.prepare(out["latents"])
            except ValueError as error:
                raise ConfigError(f"{key}.{first_line(error)}.") from None


def _build_trainer(node: Mapping[str, Any], stages: Iterable[Any], **supplied: Any) -> pl.Trainer:
    trainer = build_node(node, "trainer", **supplied)
    # Outside its window a stage leaves its parameters without gradient, which plain DDP refuses.
    unused = any(count_parameters(s) and (s.start_epoch > 0 or s.end_epoch is not None) for s in stages)
    strategy = DDP_NAMES.get(node.get("strategy", "auto"))
    if unused and strategy and trainer.world_size > 1 and isinstance(trainer.strategy, DDPStrategy):
        return build_node({**node, "strategy": strategy}, "trainer", **supplied)
    return trainer


def build_data_and_module(settings: RunSettings) -> tuple[ImageDataModule, CodecModule]:
    """The images, and the codec with its loss and its stages.

    Raises:
        UserError: A value is out of its range, or the data cannot be used.
    """
    stages = build_stages(settings)
    loss = _expect(build_node(settings.loss, "loss"), RateDistortionLoss, "loss")
    recipe = _expect(build_node(settings.optimizer, "optimizer"), AdamRecipe, "optimizer")
    data = _expect(build_node(settings.data, "data"), ImageDataModule, "data")
    data.setup("fit")
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    codec = _expect(build_node(settings.model, "model"), CompressionModel, "model")
    _prepare_stages(settings, stages, codec, data.crop_size)
    return data, CodecModule(codec, loss, recipe, stages, channels_last=settings.channels_last)


def build_run(settings: RunSettings, folder: Path, callbacks: Sequence[Callback] = ()) -> Run:
    """Build data, stages, model and trainer, the cheap parts first.

    Args:
        settings: The checked config.
        folder: The run folder.
        callbacks: What else is to happen during training.

    Raises:
        UserError: A value is out of its range, or the data cannot be used.
    """
    max_epochs = _check_trainer(settings.trainer)
    data, module = build_data_and_module(settings)
    _say_windows(module.stages, max_epochs)

    steps = len(data.train_dataloader())
    csv = RunCsvLogger(folder)
    meter = ResourceMeter()
    diagnostics = None
    if settings.diagnostics:
        draw, photographs = partial(write_spectral_evolution, folder), data.val_dataloader().dataset
        supplied = {"folder": folder, "codec": module.codec, "photographs": photographs, "draw": draw}
        diagnostics = build_node(settings.diagnostics, "diagnostics", **supplied)
        _expect(diagnostics, SpectralDiagnostics, "diagnostics")
    trainer_node = {**settings.trainer}
    if trainer_node.get("log_every_n_steps") is None:
        trainer_node["log_every_n_steps"] = min(MAX_LOG_INTERVAL, max(1, steps // 10))
    trainer = _build_trainer(
        trainer_node,
        module.stages,
        logger=[csv, *build_loggers(settings, folder)],
        callbacks=[
            meter,
            LogPhase(csv),
            *progress_display(),
            *([diagnostics] if diagnostics else []),
            *callbacks,
            *checkpoint_callbacks(folder),
        ],
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=True,
        default_root_dir=str(folder),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    return Run(settings, data, module, trainer, meter, csv, diagnostics)


def build_loggers(settings: RunSettings, folder: Path) -> list[Logger]:
    """The logger group, writing into the run folder; a resumed run keeps its identity there."""
    if not settings.logger:
        return []
    node = dict(settings.logger)
    supplied: dict[str, Any] = {"save_dir": str(folder)}
    if node["_target_"].endswith("WandbLogger"):
        node["name"] = node.get("name") or folder.name
        supplied |= {"id": _wandb_id(folder), "resume": "allow"}
    logger = _expect(build_node(node, "logger", **supplied), Logger, "logger")
    # Lightning passes on an option that W&B no longer knows and warns of.
    getattr(logger, "_wandb_init", {}).pop("anonymous", None)
    return [logger]


def _wandb_id(folder: Path) -> str:
    """The W&B run that this run folder belongs to, the same for every session."""
    path = folder / "wandb_id.txt"
    if not path.exists():
        write_text(path, uuid.uuid4().hex[:8] + "\n")
    return path.read_text(encoding="utf-8").strip()


def _check_trainer(node: Mapping[str, Any]) -> int:
    max_epochs = node.get("max_epochs")
    if not isinstance(max_epochs, int) or not 1 <= max_epochs <= 10**9:
        raise ConfigError(f"trainer.max_epochs must be a whole number from 1 to 10^9, got {max_epochs!r}.")
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps"):
        if (value := node.get(key)) is not None and value < 1:
            raise ConfigError(f"trainer.{key} must be at least 1, got {value}.")
    clip = node.get("gradient_clip_val")
    if clip is not None and not 0 <= clip < float("inf"):
        raise ConfigError(f"trainer.gradient_clip_val must be a number from 0 on, got {clip}; 0 or null clips nothing.")
    return max_epochs


def _expect(built: Any, kind: type[Any], key: str) -> Any:
    if not isinstance(built, kind):
        raise ConfigError(f"{key}._target_ must name a {kind.__name__}, got {type(built).__name__}.")
    return built


def _say_windows(stages: Iterable[Any], max_epochs: int) -> None:
    for stage in stages:
        end = "the end" if stage.end_epoch is None else f"epoch {stage.end_epoch:g}"
        own = count_parameters(stage)
        parameters = f", with {own:,} training-only parameters" if own else ""
        measures = ", and only measures (delta 0)" if getattr(stage, "delta", None) == 0 else ""
        if stage.start_epoch < max_epochs:
            start = f"{stage.phase} acts from epoch {stage.start_epoch:g} to {end} of {max_epochs}"
            log.info("%s%s%s", start, parameters, measures)
            if (ramped := stage.start_epoch + getattr(stage, "ramp_epochs", 0)) > max_epochs:
                log.warning("%s reaches its delta at epoch %g, after the end of training.", stage.phase, ramped)
        else:
            log.warning(
                "%s starts at epoch %g and training ends at epoch %d (trainer.max_epochs): it never acts.",
                stage.phase,
                stage.start_epoch,
                max_epochs,
            )
        if isinstance(stage, InputStage) and stage.end_epoch is not None and stage.end_epoch >= max_epochs:
            log.warning(
                "%s lasts until epoch %g and training ends at epoch %d (trainer.max_epochs): no epoch sees unchanged "
                "images.",
                stage.phase,
                stage.end_epoch,
                max_epochs,
            )


def count_parameters(module: torch.nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
