"""What Lightning trains: a codec, its loss, and stages that exist during training only."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from jaxtyping import Float
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from hpcm_spectral.codec import Codec, CodecOutput
from hpcm_spectral.errors import ConfigError, UserError
from hpcm_spectral.losses import RateDistortion, RateDistortionLoss
from hpcm_spectral.metrics import MS_SSIM_MIN_SIDE, ms_ssim_db, psnr_8bit
from hpcm_spectral.models.registry import description_of
from hpcm_spectral.stages import InputStage, PenaltyStage, Stage
from hpcm_spectral.training.checkpointing import RUN_FOLDER, adapt_states
from hpcm_spectral.training.clipping import SkippedSteps, clip_groups, keep_kernels, skip_groups
from hpcm_spectral.training.compiling import naming_backend
from hpcm_spectral.training.optimizers import Recipe, keep_ratios, lr_ratios
from hpcm_spectral.training.resuming import KEY, apply_changes, forget_other_kinds, settings_of

BASELINE = "baseline"
VALIDATED_LEVELS = 4
# What a validation keeps of each rate level.
# In one order everywhere: devices that train together exchange metrics by their order.
OF_LEVELS = ("lmbda", "loss", "bpp_loss", "psnr", "ms_ssim_db")
NEVER = 2**31


@dataclass(frozen=True)
class TrainingStep:
    """What a training step computed.

    Attributes:
        progress: Training so far in epochs, fraction included.
        phase: Names of the stages that acted, or ``baseline``.
        loss: What was minimised, with gradient.
        terms: The rate-distortion loss and its parts.
        penalties: What stages added to it, by their phases.
        numbers: What stages log, by full keys.
    """

    progress: float
    phase: str
    loss: torch.Tensor
    terms: RateDistortion
    penalties: Mapping[str, torch.Tensor] = field(default_factory=dict)
    numbers: Mapping[str, float | torch.Tensor] = field(default_factory=dict)


class CodecModule(pl.LightningModule):
    """Trains a codec under a rate-distortion loss with pluggable stages.

    .. code-block:: none

        images ──► input stages ──► codec ──► loss ──► (+) ──► optimizer
                                      │                 ▲
                                      └─► latents ──► penalty stages

    Args:
        codec: The codec. One of several rate levels is trained on a level of its own for each image, at random, and
            validated at four from the lowest to the highest one, of few levels at every second; each is logged, and
            their mean.
        loss: The rate-distortion loss.
        recipe: Optimizer and learning-rate schedule.
        stages: Regularizers, in the order in which they act.
        channels_last: Memory format of codec and images.
        ms_ssim: Whether validation measures MS-SSIM, which all of its images must be large enough for.

    Attributes:
        latest: The latest training step; None before the first.
    """

    skipped_steps: torch.Tensor
    lmbdas: torch.Tensor | None

    def __init__(
        self,
        codec: Codec,
        loss: RateDistortionLoss,
        recipe: Recipe,
        stages: Sequence[Stage] = (),
        *,
        channels_last: bool = False,
        ms_ssim: bool = True,
    ) -> None:
        super().__init__()
        self.ms_ssim = ms_ssim
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.codec = codec.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.loss = loss
        self.recipe = recipe
        self.stages = nn.ModuleList(stages)
        self.register_buffer("skipped_steps", torch.zeros((), dtype=torch.int64))
        # One weight per rate level, where there are several; in no checkpoint.
        self.register_buffer("lmbdas", None if codec.lmbdas is None else torch.tensor(codec.lmbdas), persistent=False)
        self._skipped = SkippedSteps(codec)
        self.latest: TrainingStep | None = None
        self._resumed: dict[str, Any] = {}
        self._settings: dict[str, Any] = {}
        self._lr_ratios: list[float] = []
        self._validated = False

    def progress(self, batch_idx: int) -> float:
        """Training so far in epochs, fraction included."""
        return self.current_epoch + batch_idx / self.trainer.num_training_batches

    def validated_progress(self) -> float:
        """Training so far in epochs as a validation finds it."""
        return self.progress(self.trainer.fit_loop.epoch_loop.batch_progress.current.ready)

    def resumed_progress(self) -> float:
        """Training so far in epochs as the start of a session finds it."""
        return self.validated_progress() if self.trainer.fit_loop.restarted_mid_epoch else float(self.current_epoch)

    def _active(self, kind: type[Any], progress: float) -> list[Any]:
        return [stage for stage in self.stages if isinstance(stage, kind) and stage.is_active(progress)]

    def training_step(self, batch: Float[torch.Tensor, "B 3 H W"], batch_idx: int) -> torch.Tensor:
        """Loss of a batch of crops in [0, 1], with the stages that act now."""
        step = self.training_loss(batch, self.progress(batch_idx))
        self.latest = replace(step, loss=step.loss.detach())
        # Of a plain number Lightning would make a tensor on the host and wait until it is on the device.
        rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        lr, progress = (torch.full((), float(value), device=self.device) for value in (rate, step.progress))
        metrics = {**step.terms.metrics(), "loss": step.loss.detach(), "rd_loss": step.terms.loss.detach(), "lr": lr}
        self.log_dict({f"train/{key}": value for key, value in metrics.items()})
        self.log("train/skipped_steps", self.skipped_steps.float())
        # Under this name it takes the place of Lightning's whole number in the loggers.
        self.log("epoch", progress)
        return step.loss

    def training_loss(self, batch: Float[torch.Tensor, "B 3 H W"], progress: float) -> TrainingStep:
        """Loss of a batch at ``progress`` epochs, with the stages that act then."""
        x = target = batch.contiguous(memory_format=self.memory_format)
        numbers: dict[str, float | torch.Tensor] = {}
        for stage in self._active(InputStage, progress):
            x, logged = _value_and_numbers(stage, stage(x, progress))
            numbers.update(logged)
            if stage.replaces_target:
                target = x
        level = torch.randint(self.codec.levels, (len(x),), device=x.device) if self.codec.levels > 1 else None
        out, terms = self._rate_distortion(x, target, level)
        loss, penalties = terms.loss, {}
        for stage in self._active(PenaltyStage, progress):
            term, logged = _value_and_numbers(stage, stage(out["latents"], progress))
            if not isinstance(term, torch.Tensor) or term.ndim:
                got = f"a tensor {list(term.shape)}" if isinstance(term, torch.Tensor) else type(term).__name__
                raise UserError(f"{stage.phase} must return a tensor with one number, got {got}; take its mean.")
            penalties[stage.phase] = term.detach()
            numbers.update(logged)
            loss = loss + term
        phase = "+".join(stage.phase for stage in self._active(Stage, progress)) or BASELINE
        return TrainingStep(progress, phase, loss, terms, penalties, numbers)

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of a step's loss; an error says which backend could not compile them."""
        with naming_backend():
            super().backward(loss, *args, **kwargs)

    def validation_metrics(self, batch: Float[torch.Tensor, "1 3 H W"]) -> dict[str, torch.Tensor]:
        """Metrics of one full photograph in [0, 1], by key; no stage takes part.

        Of a codec with several rate levels, those of ``level_9/psnr`` are of level 9, those of ``psnr`` their mean.
        """
        x = batch.contiguous(memory_format=self.memory_format)
        each = {}
        for level in self.codec.spread_levels(min(VALIDATED_LEVELS, 1 + self.codec.levels // 2)):
            levels = torch.full((len(x),), level, device=x.device) if self.codec.levels > 1 else None
            out, terms = self._rate_distortion(x, batch, levels)
            metrics = {**terms.metrics(), "psnr": psnr_8bit(batch, out["x_hat"])}
            if self.ms_ssim and min(batch.shape[-2:]) >= MS_SSIM_MIN_SIDE:
                metrics["ms_ssim_db"] = ms_ssim_db(batch, out["x_hat"])
            if self.lmbdas is not None:
                metrics["lmbda"] = self.lmbdas[level]
            each[level] = metrics
        means = {key: torch.stack([m[key] for m in each.values()]).mean(0) for key in metrics if key != "lmbda"}
        if self.codec.levels == 1:
            return means
        of_levels = {f"level_{level}/{key}": own[key] for level, own in each.items() for key in OF_LEVELS if key in own}
        return means | of_levels

    def _rate_distortion(
        self, x: torch.Tensor, target: torch.Tensor, level: torch.Tensor | None
    ) -> tuple[CodecOutput, RateDistortion]:
        """The codec's output for images, and its loss; ``level`` is None for a codec of one rate."""
        if level is None:
            out = self.codec(x)
            return out, self.loss(out["x_hat"], out["likelihoods"], target)
        out = self.codec(x, level)
        lmbda = None if self.lmbdas is None else self.lmbdas[level]
        return out, self.loss(out["x_hat"], out["likelihoods"], target, lmbda)

    def on_validation_epoch_start(self) -> None:
        """Let the codec settle what follows from its weights."""
        self.codec.settle()
        self._validated = True

    def validation_step(self, batch: Float[torch.Tensor, "1 3 H W"], batch_idx: int) -> None:
        """Log :meth:`validation_metrics` of one photograph."""
        metrics = {f"val/{key}": value for key, value in self.validation_metrics(batch).items()}
        self.log_dict(metrics, batch_size=1, sync_dist=True)
        self.log("epoch", self.validated_progress(), batch_size=1)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Codec and stages in groups of their own, so that a stage can have its own learning rate."""
        params: list[dict[str, Any]] = [{"params": list(self.codec.parameters())}]
        for stage in self.stages:
            if own := [parameter for parameter in stage.parameters() if parameter.requires_grad]:
                rate = stage.lr if isinstance(stage, PenaltyStage) else None
                params.append({"params": own, **({"lr": rate} if rate is not None else {})})
        return params

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimizer and schedule over :meth:`parameter_groups`."""
        optimizer = self.recipe.optimizer(self.parameter_groups())
        self._lr_ratios = lr_ratios(optimizer)
        steps = self._planned_steps() if self.recipe.counts_steps else 0
        schedule = self.recipe.scheduler(optimizer, steps)
        self._settings = settings_of(optimizer, schedule, self.recipe.interval)
        if self._resumed:
            forget_other_kinds(self._resumed, self._settings)
            keep_kernels(self._resumed, optimizer.param_groups)
        if schedule is None:
            return optimizer
        config: dict[str, Any] = {"scheduler": schedule, "interval": self.recipe.interval}
        if self.recipe.monitor is not None:
            # Lightning would step it after the epoch's checkpoint, which a resumed run would miss.
            config |= {"monitor": self.recipe.monitor, "reduce_on_plateau": True, "frequency": NEVER}
        return {"optimizer": optimizer, "lr_scheduler": config}  # type: ignore[return-value]

    def _planned_steps(self) -> int:
        """Optimizer steps of all epochs; Lightning's own estimate would begin loading before a resume says where."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is None:
            return int(self.trainer.estimated_stepping_batches)
        batches, limit = len(data.train_dataloader()), self.trainer.limit_train_batches
        batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
        return (self.trainer.max_epochs or 1) * math.ceil(batches / self.trainer.accumulate_grad_batches)

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """A step of the schedule, after which all groups keep their ratios."""
        super().lr_scheduler_step(scheduler, metric)
        keep_ratios(scheduler, self._lr_ratios)

    def on_train_epoch_end(self) -> None:
        """Show a schedule that watches a metric what the epoch brought, before the checkpoint is saved.

        Raises:
            ConfigError: There is no such metric.
            UserError: As :meth:`configure_gradient_clipping`, of the epoch's last steps.
        """
        self._skipped.judge_all()
        monitor, validated, self._validated = self.recipe.monitor, self._validated, False
        if monitor is None or (monitor.startswith("val/") and not validated):
            return
        found = self.trainer.callback_metrics
        if monitor not in found:
            raise ConfigError(f"lr_scheduler.monitor must be one of {', '.join(sorted(found))}, got {monitor}.")
        self.lr_scheduler_step(self.lr_schedulers(), found[monitor])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what codec, optimizer and schedule were made from: for a conversion, and to see what has changed."""
        checkpoint[KEY] = self._settings
        checkpoint["codec"] = description_of(self.codec)
        checkpoint[RUN_FOLDER] = str(Path(self.trainer.default_root_dir).resolve())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the checkpoint until optimizer and schedule are there; callbacks get their states after this."""
        adapt_states(checkpoint, Path(self.trainer.default_root_dir))
        self._resumed = checkpoint

    def on_train_start(self) -> None:
        """Take what has changed from the settings, which may differ from those of a resumed checkpoint."""
        if not self._resumed:
            return
        schedule = self.lr_schedulers()
        assert schedule is None or isinstance(schedule, LRScheduler)
        done = self.current_epoch if self.recipe.interval == "epoch" else self.global_step
        apply_changes(self.optimizers(use_pl_optimizer=False), schedule, self._settings, self._resumed.get(KEY), done)  # type: ignore[arg-type]
        self._resumed = {}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient norms; a step without finite ones is skipped and counted, as published.

        Codec and stages are clipped, and skip, apart: a stage's own gradient does not touch the codec's step. On a GPU
        nobody waits for the norms; that too many steps were skipped is said a step later there.

        Raises:
            UserError: Too many steps in a row were skipped, or a stage's term is not finite: training has diverged.
        """
        by_norm = bool(gradient_clip_val) and gradient_clip_algorithm in (None, "norm")
        finite = clip_groups(optimizer, float(gradient_clip_val or 0) if by_norm else float("inf"), self.device)
        skip_groups(optimizer, finite)
        if not by_norm:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        good = finite.all()
        self.skipped_steps += ~good
        penalties, progress = (self.latest.penalties, self.latest.progress) if self.latest else ({}, 0.0)
        self._skipped.note(good, penalties, progress, self.global_step)


def _value_and_numbers(stage: Stage, returned: Any) -> tuple[Any, Mapping[str, Any]]:
    """What a stage's forward has returned, which a user may have written."""
    if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[1], Mapping):
        raise UserError(
            f"{stage.phase} must return its value and its numbers by their keys, got {type(returned).__name__}; return "
            "value, {} if there is nothing to log."
        )
    return returned


def count_parameters(module: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
