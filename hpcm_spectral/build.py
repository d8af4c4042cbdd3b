"""From a checked config to objects: the only caller of Hydra's ``instantiate``."""

import importlib.util
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, EarlyStopping, LearningRateFinder
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.plugins.environments import ClusterEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from hpcm_spectral.codec import Codec
from hpcm_spectral.config import TARGET, RunSettings, constructor_parameters, split_schedule
from hpcm_spectral.data import ImageDataModule
from hpcm_spectral.errors import ConfigError, SettingError, UserError, first_line
from hpcm_spectral.files import write_text
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.models import as_codec
from hpcm_spectral.models.exported import try_export
from hpcm_spectral.reports import write_spectral_evolution
from hpcm_spectral.schedules import TauSchedule
from hpcm_spectral.stages import PenaltyStage, Stage
from hpcm_spectral.training import (
    AtomicCheckpointIO,
    CodecModule,
    PhaseRecorder,
    Recipe,
    RunCsvLogger,
    SpectralDiagnostics,
    announce,
    checkpoint_callbacks,
    count_parameters,
    validate_once,
)
from hpcm_spectral.training.callbacks import LogPhase, progress_display
from hpcm_spectral.training.compiling import compile_blocks
from hpcm_spectral.training.limits import check_limits, check_trainer
from hpcm_spectral.training.resources import ResourceMeter
from hpcm_spectral.training.stopping import Stopping

MAX_LOG_INTERVAL = 50
# How classes of others say that a setting does not fit.
REFUSALS = (MisconfigurationException, ValueError, TypeError, ImportError, RuntimeError, AssertionError)
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
    stopping: Stopping
    diagnostics: SpectralDiagnostics | None


def build_run(settings: RunSettings, folder: Path, callbacks: Sequence[Callback] = ()) -> Run:
    """Build what a training run is made of, and try whatever would break later; nothing is written.

    Args:
        settings: The checked config.
        folder: The run folder.
        callbacks: What else is to happen during training.

    Raises:
        UserError: A value is out of its range, or the data cannot be used.
    """
    check_trainer(settings.trainer)
    stages = build_stages(settings)
    own = {name: build_node(node, f"callbacks.{name}", Callback) for name, node in settings.callbacks.items()}
    if tuners := [name for name, c in own.items() if isinstance(c, BatchSizeFinder | LearningRateFinder)]:
        raise ConfigError(
            f"callbacks.{tuners[0]} must leave settings as they are, got {type(own[tuners[0]]).__name__}, which would "
            "train with others than the run's config says; sweep over them instead."
        )
    data, module = build_data_and_module(settings, stages)
    photographs, steps = data.val_dataloader().dataset, len(data.train_dataloader())
    epochs = settings.trainer["max_epochs"]
    check_limits(settings.trainer, steps, len(data.val_names))
    module.recipe.scheduler(module.recipe.optimizer(module.parameter_groups()), total_steps=epochs * steps)
    announce(stages, epochs)

    kept = not settings.trainer.get("fast_dev_run")
    meter = ResourceMeter(say_first=bool(settings.compile))
    csv, stopping, diagnostics = RunCsvLogger(folder), Stopping(folder), None
    if kept and settings.diagnostics:
        draw = partial(write_spectral_evolution, folder)
        supplied = {"folder": folder, "codec": module.codec, "photographs": photographs, "draw": draw}
        diagnostics = build_node(settings.diagnostics, "diagnostics", SpectralDiagnostics, **supplied)
    monitors = {"lr_scheduler.monitor": module.recipe.monitor}
    monitors |= {f"callbacks.{name}.monitor": c.monitor for name, c in own.items() if isinstance(c, EarlyStopping)}
    validate_once(module, photographs[0], monitors, crop_size=data.crop_size, partial=diagnostics is not None)
    trainer = build_trainer(
        settings.trainer,
        module.stages,
        steps,
        logger=[csv, *(build_loggers(settings, folder) if kept else [])],
        callbacks=[
            meter,
            *([LogPhase(csv), PhaseRecorder(folder, stages)] if kept else []),
            *([diagnostics] if diagnostics else []),  # before the averages of a callback leave the codec
            *progress_display(),
            *own.values(),
            *callbacks,
            *checkpoint_callbacks(folder),
            stopping,
        ],
        plugins=[AtomicCheckpointIO(), *_environment()],
        enable_checkpointing=True,
        default_root_dir=str(folder),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    return Run(settings, data, module, trainer, meter, stopping, diagnostics)


def build_data_and_module(
    settings: RunSettings, stages: Mapping[str, Stage] | None = None
) -> tuple[ImageDataModule, CodecModule]:
    """The images, and the codec with its loss, its recipe and its stages, which are built if they are not given."""
    stages = build_stages(settings) if stages is None else stages
    loss = build_node(settings.loss, "loss", RateDistortionLoss)
    recipe = build_recipe(settings)
    data = build_node(settings.data, "data", ImageDataModule)
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    codec = as_codec(build_node(settings.model, "model", torch.nn.Module), settings.model)
    check_crops(data.crop_size, codec.size_multiple)
    try_export(codec)
    compile_blocks(codec, settings.compile)
    data.setup("fit")
    prepare_stages(stages, codec, data.crop_size, settings.seed)
    more = {"channels_last": settings.channels_last, "ms_ssim": data.have_ms_ssim}
    return data, CodecModule(codec, loss, recipe, list(stages.values()), **more)


def build_node(node: Mapping[str, Any], key: str, kind: type[Any] = object, **supplied: Any) -> Any:
    """Build one object from its settings, and those within them first.

    Args:
        node: The settings.
        key: Where they stand in the config.
        kind: What the object must be.
        supplied: Arguments beside the settings.

    Raises:
        ConfigError: The class refuses a value, or is another.
    """
    inner = {
        name: build_node(value, f"{key}.{name}")
        for name, value in node.items()
        if isinstance(value, Mapping) and TARGET in value
    }
    plain = {name: value for name, value in node.items() if name not in inner}
    try:
        built = instantiate(plain, _convert_="all", **inner, **supplied)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, SettingError):
            raise ConfigError(f"{key}.{cause}") from None
        if isinstance(cause, REFUSALS):
            raise ConfigError(f"{key} cannot be built: {first_line(cause).rstrip('!')}.") from cause
        raise cause or error from None
    if not isinstance(built, kind):
        raise ConfigError(f"{key}.{TARGET} must name a {kind.__name__}, got {type(built).__name__}.")
    return built


def build_stages(settings: RunSettings) -> dict[str, Stage]:
    """The stages that are on, by the keys of their settings, in the order in which they act."""
    # phase1.schedule is a copy of the schedule; building that first names it in its own errors.
    build_node(settings.schedule, "schedule", TauSchedule)
    nodes = {"phase1": settings.phase1, "phase2": settings.phase2}
    nodes |= {f"stages.{name}": node for name, node in settings.stages.items()}
    return {key: build_node(node, key, Stage) for key, node in nodes.items() if node}


def build_recipe(settings: RunSettings) -> Recipe:
    """The optimizer and its schedule, which both wait for parameters."""
    optimizer = build_node(settings.optimizer, "optimizer", _partial_=True)
    if not settings.lr_scheduler:
        return Recipe(optimizer)
    own, node = split_schedule(settings.lr_scheduler)
    scheduler = build_node(node, "lr_scheduler", _partial_=True)
    takes, _ = constructor_parameters(get_object(node[TARGET]))
    counts_steps = "total_steps" in takes and not {"total_steps", "epochs"} & node.keys()
    return Recipe(optimizer, scheduler, own.interval, own.monitor, counts_steps)


def prepare_stages(stages: Mapping[str, Stage], codec: Codec, crop_size: int, seed: int) -> None:
    """Show the codec's latents to the stages that use them, without drawing from the run's random numbers."""
    prepared = {key: stage for key, stage in stages.items() if isinstance(stage, PenaltyStage)}
    if not prepared:
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        out = codec.eval()(torch.zeros(1, 3, crop_size, crop_size))
        codec.train()
        for key, stage in prepared.items():
            try:
                stage.prepare(out["latents"])
            except SettingError as error:
                raise ConfigError(f"{key}.{error}") from None


def check_crops(crop_size: int, multiple: int) -> None:
    """Training should not see padding."""
    if crop_size < 1 or crop_size % multiple:
        below = max(multiple, crop_size // multiple * multiple)
        raise ConfigError(
            f"data.crop_size must be a positive multiple of {multiple}, got {crop_size}; choose {below} or "
            f"{below + multiple}."
        )


def build_trainer(node: Mapping[str, Any], stages: Iterable[Any], steps: int, **supplied: Any) -> pl.Trainer:
    """Lightning's Trainer, with a strategy that fits the stages."""
    node = dict(node)
    if node.get("log_every_n_steps") is None:
        node["log_every_n_steps"] = min(MAX_LOG_INTERVAL, max(1, steps // 10))
    trainer = build_node(node, "trainer", pl.Trainer, **supplied)
    # Outside its window a stage leaves its parameters without gradient, which plain DDP refuses.
    unused = any(count_parameters(s) and (s.start_epoch > 0 or s.end_epoch is not None) for s in stages)
    strategy = DDP_NAMES.get(node.get("strategy", "auto"))
    if unused and strategy and trainer.world_size > 1 and isinstance(trainer.strategy, DDPStrategy):
        trainer = build_node({**node, "strategy": strategy}, "trainer", pl.Trainer, **supplied)
    if str(node.get("precision")) in ("16", "16-mixed") and isinstance(trainer.accelerator, CPUAccelerator):
        raise ConfigError(
            "trainer.precision must be 32-true or bf16-mixed on a CPU, got 16-mixed, which Lightning would train as "
            "bf16-mixed."
        )
    return trainer


def start_loggers(loggers: Sequence[Logger], config: Mapping[str, Any]) -> None:
    """Have loggers begin with the run's config.

    Raises:
        ConfigError: One cannot; Weights & Biases without a key, for example.
    """
    for logger in loggers:
        try:
            logger.log_hyperparams(dict(config))
        except Exception as error:  # loggers are others' code
            online = isinstance(logger, WandbLogger) and not logger._offline
            advice = "; run wandb login, or set logger.wandb.offline=true and upload later" if online else ""
            raise ConfigError(
                f"logger must be able to start, but {type(logger).__name__} fails: {first_line(error)}{advice}."
            ) from error


def _environment() -> list[ClusterEnvironment]:
    """Lightning's choice, but on SLURM without its own way of leaving a job: other files, and other numbers."""
    slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    try:
        return [SLURMEnvironment(auto_requeue=False)] if slurm else []
    except RuntimeError as error:
        raise ConfigError(f"SLURM must be set up as Lightning understands it, but: {first_line(error)}.") from None


def build_loggers(settings: RunSettings, folder: Path) -> list[Logger]:
    """The loggers beside the CSV file, writing into the run folder; a resumed run keeps its identity there."""
    loggers = []
    for name, node in settings.logger.items():
        key, cls, supplied = f"logger.{name}", get_object(node[TARGET]), {}
        if "save_dir" in constructor_parameters(cls)[0] and node.get("save_dir") is None:
            supplied["save_dir"] = str(folder)
        if cls is TensorBoardLogger and not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
            raise ConfigError(
                f"{key} needs the package tensorboard, which is not installed: pip install "
                "'hpcm-spectral[tensorboard]', or choose logger=csv."
            )
        if cls is WandbLogger:
            node = {**node, "name": node.get("name") or folder.name}
            kept = folder / "wandb_id.txt"  # the same W&B run in every session
            if not kept.exists():
                write_text(kept, uuid.uuid4().hex[:8] + "\n")
            supplied |= {"id": kept.read_text(encoding="utf-8").strip(), "resume": "allow"}
        logger = build_node(node, key, Logger, **supplied)
        if cls is WandbLogger:
            # Lightning passes on an option that W&B no longer knows and warns of.
            logger._wandb_init.pop("anonymous", None)
        loggers.append(logger)
    return loggers
