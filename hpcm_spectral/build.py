"""From a checked config to objects: the only caller of Hydra's ``instantiate``."""

import logging
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from compressai.models import CompressionModel
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from hpcm_spectral.config import RunSettings, first_line
from hpcm_spectral.data import ImageDataModule
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.files import write_text
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.schedules import TauSchedule
from hpcm_spectral.stages import InputStage, Stage
from hpcm_spectral.training import (
    AdamRecipe,
    AtomicCheckpointIO,
    CodecModule,
    RunCsvLogger,
    checkpoint_callbacks,
)
from hpcm_spectral.training.callbacks import LogPhase, ResourceMeter, progress_display

log = logging.getLogger(__name__)
MAX_LOG_INTERVAL = 50


@dataclass(frozen=True)
class Run:
    """Everything that a training run is made of."""

    settings: RunSettings
    data: ImageDataModule
    module: CodecModule
    trainer: pl.Trainer
    meter: ResourceMeter
    csv: RunCsvLogger


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
    for key, node in (("phase1", settings.phase1), ("phase2", settings.phase2)):
        if node:
            stage = build_node(node, key)
            if not isinstance(stage, Stage):
                raise ConfigError(f"{key}._target_ must name a Stage, got {node['_target_']}.")
            stages.append(stage)
    return stages


def build_run(settings: RunSettings, folder: Path) -> Run:
    """Build data, stages, model and trainer, the cheap parts first.

    Args:
        settings: The checked config.
        folder: The run folder.

    Raises:
        UserError: A value is out of its range, or the data cannot be used.
    """
    max_epochs = _check_trainer(settings.trainer)
    stages = build_stages(settings)
    loss = _expect(build_node(settings.loss, "loss"), RateDistortionLoss, "loss")
    recipe = _expect(build_node(settings.optimizer, "optimizer"), AdamRecipe, "optimizer")
    data = _expect(build_node(settings.data, "data"), ImageDataModule, "data")
    data.setup("fit")
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    codec = _expect(build_node(settings.model, "model"), CompressionModel, "model")
    module = CodecModule(codec, loss, recipe, stages, channels_last=settings.channels_last)
    _say_windows(stages, max_epochs)

    steps = len(data.train_dataloader())
    csv = RunCsvLogger(folder)
    meter = ResourceMeter()
    trainer_node = {**settings.trainer}
    if trainer_node.get("log_every_n_steps") is None:
        trainer_node["log_every_n_steps"] = min(MAX_LOG_INTERVAL, max(1, steps // 10))
    trainer = build_node(
        trainer_node,
        "trainer",
        logger=[csv, *build_loggers(settings, folder)],
        callbacks=[meter, LogPhase(csv), *progress_display(), *checkpoint_callbacks(folder)],
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=True,
        default_root_dir=str(folder),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    return Run(settings, data, module, trainer, meter, csv)


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


def _say_windows(stages: list[Stage], max_epochs: int) -> None:
    for stage in stages:
        end = "the end" if stage.end_epoch is None else f"epoch {stage.end_epoch:g}"
        log.info("%s acts from epoch %g to %s of %d", stage.phase, stage.start_epoch, end, max_epochs)
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
