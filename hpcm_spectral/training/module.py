"""What Lightning trains: a codec, its loss, and stages that exist during training only."""

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from jaxtyping import Float
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn

from hpcm_spectral.errors import UserError
from hpcm_spectral.losses import RateDistortion, RateDistortionLoss
from hpcm_spectral.metrics import MS_SSIM_MIN_SIDE, ms_ssim_db, psnr_8bit
from hpcm_spectral.stages import InputStage, PenaltyStage, Stage
from hpcm_spectral.training.optimizers import AdamRecipe

BASELINE = "baseline"
MAX_SKIPPED_IN_A_ROW = 50


class CodecModule(pl.LightningModule):
    """Trains a codec under a rate-distortion loss with pluggable stages.

    .. code-block:: none

        images ──► input stages ──► codec ──► loss ──► (+) ──► optimizer
                                      │                 ▲
                                      └─► latents ──► penalty stages

    Args:
        codec: A codec whose ``forward`` returns ``x_hat``, ``likelihoods`` and ``latents``.
        loss: The rate-distortion loss.
        recipe: Optimizer and learning-rate schedule.
        stages: Regularizers, in the order in which they act.
        channels_last: Memory format of codec and images.
    """

    skipped_steps: torch.Tensor

    def __init__(
        self,
        codec: nn.Module,
        loss: RateDistortionLoss,
        recipe: AdamRecipe,
        stages: Sequence[Stage] = (),
        *,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.codec = codec.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.loss = loss
        self.recipe = recipe
        self.stages = nn.ModuleList(stages)
        self.register_buffer("skipped_steps", torch.zeros((), dtype=torch.int64))
        self._skipped_in_a_row = 0
        self._terms: dict[str, torch.Tensor] = {}
        self._base_lrs: list[float] = []
        self.latest_progress = 0.0

    def progress(self, batch_idx: int) -> float:
        """Training so far in epochs, fraction included."""
        return self.current_epoch + batch_idx / self.trainer.num_training_batches

    def validated_progress(self) -> float:
        """Training so far in epochs as a validation finds it."""
        return self.progress(self.trainer.fit_loop.epoch_loop.batch_progress.current.ready)

    def phase(self, progress: float) -> str:
        """Name of the stages that act at ``progress``, or ``baseline``."""
        return "+".join(stage.phase for stage in self._active(Stage, progress)) or BASELINE

    def stage_metrics(self, progress: float) -> dict[str, float | torch.Tensor]:
        """What all stages log at ``progress``."""
        return {key: value for stage in self._active(Stage, progress) for key, value in stage.metrics(progress).items()}

    def _active(self, kind: type[Any], progress: float) -> list[Any]:
        return [stage for stage in self.stages if isinstance(stage, kind) and stage.is_active(progress)]

    def training_step(self, batch: Float[torch.Tensor, "B 3 H W"], batch_idx: int) -> torch.Tensor:
        """Loss of a batch of crops in [0, 1], with the stages that act now."""
        progress = self.latest_progress = self.progress(batch_idx)
        loss, terms = self.training_loss(batch, progress)
        lr = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        metrics = {**terms.metrics(), "loss": loss.detach(), "rd_loss": terms.loss.detach(), "lr": lr}
        self.log_dict({f"train/{key}": value for key, value in metrics.items()})
        self.log("train/skipped_steps", self.skipped_steps.float())
        # Under this name it takes the place of Lightning's whole number in the loggers.
        self.log("epoch", progress)
        return loss

    def training_loss(
        self, batch: Float[torch.Tensor, "B 3 H W"], progress: float
    ) -> tuple[Float[torch.Tensor, ""], RateDistortion]:
        """Loss of a batch at ``progress`` epochs with the terms of the stages, and its parts without them."""
        x = target = batch.contiguous(memory_format=self.memory_format)
        for stage in self._active(InputStage, progress):
            x = stage(x, progress)
            if stage.target == "truncated":
                target = x
        out = self.codec(x)
        terms = self.loss(out["x_hat"], out["likelihoods"], target)
        loss = terms.loss
        self._terms = {}
        for stage in self._active(PenaltyStage, progress):
            term = stage(out["latents"], progress)
            if not isinstance(term, torch.Tensor) or term.ndim:
                got = f"a tensor {list(term.shape)}" if isinstance(term, torch.Tensor) else type(term).__name__
                raise UserError(f"{stage.phase} must return a tensor with one number, got {got}; take its mean.")
            self._terms[stage.phase] = term.detach()
            loss = loss + term
        return loss, terms

    def validation_step(self, batch: Float[torch.Tensor, "1 3 H W"], batch_idx: int) -> None:
        """Metrics of one full photograph in [0, 1]; no stage takes part."""
        out = self.codec(batch.contiguous(memory_format=self.memory_format))
        terms = self.loss(out["x_hat"], out["likelihoods"], batch)
        metrics = {**terms.metrics(), "psnr": psnr_8bit(batch, out["x_hat"])}
        if min(batch.shape[-2:]) >= MS_SSIM_MIN_SIDE:
            metrics["ms_ssim_db"] = ms_ssim_db(batch, out["x_hat"])
        self.log_dict({f"val/{key}": value for key, value in metrics.items()}, batch_size=1, sync_dist=True)
        self.log("epoch", self.validated_progress(), batch_size=1)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Codec and stages in groups of their own, so that a stage can have its own learning rate."""
        params: list[dict[str, Any]] = [{"params": list(self.codec.parameters())}]
        for stage in self.stages:
            if own := [parameter for parameter in stage.parameters() if parameter.requires_grad]:
                rate = getattr(stage, "lr", None)
                params.append({"params": own, **({"lr": rate} if rate is not None else {})})
        return params

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The recipe's optimizer and learning rates over :meth:`parameter_groups`."""
        configured = self.recipe.configure(self.parameter_groups(), self.trainer.max_epochs)
        # The scheduler starts by noting down each group's own rate.
        self._base_lrs = [group["initial_lr"] for group in configured["optimizer"].param_groups]
        return configured  # type: ignore[return-value]

    def on_train_start(self) -> None:
        """Take learning rate and decay from the settings, which may differ from those of a resumed checkpoint."""
        scheduler = self.lr_schedulers()
        assert isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR)
        scheduler.base_lrs = list(self._base_lrs)
        factor = self.recipe.factor(self.current_epoch, self.trainer.max_epochs)
        for group, base in zip(scheduler.optimizer.param_groups, self._base_lrs, strict=True):
            group.update(lr=base * factor, initial_lr=base, betas=self.recipe.betas)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient norms; a step without finite ones is skipped and counted, as published.

        Codec and stages are clipped, and skip, apart: a stage's own gradient does not touch the codec's step.

        Raises:
            UserError: Too many steps in a row were skipped: training has diverged.
        """
        by_norm = bool(gradient_clip_val) and gradient_clip_algorithm in (None, "norm")
        limit = float(gradient_clip_val or 0) if by_norm else float("inf")
        groups = [group["params"] for group in optimizer.param_groups]
        norms = torch.stack([torch.nn.utils.clip_grad_norm_(parameters, limit) for parameters in groups])
        finite = torch.isfinite(norms).tolist()
        # Without gradients the optimizer leaves parameters and moments alone.
        for parameter in [p for parameters, good in zip(groups, finite, strict=True) if not good for p in parameters]:
            parameter.grad = None
        if not by_norm:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        if all(finite):
            self._skipped_in_a_row = 0
            return
        for phase, term in self._terms.items():
            # A codec that has failed itself is not the stage's doing.
            if not torch.isfinite(term) and all(torch.isfinite(p).all() for p in self.codec.parameters()):
                raise UserError(
                    f"{phase} must add a finite term to the loss, got {term.item():g} at epoch "
                    f"{self.latest_progress:.2f}; lower its weight or its learning rate in a new run."
                )
        self.skipped_steps += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise UserError(
                f"Gradients must be finite, but the last {MAX_SKIPPED_IN_A_ROW} steps up to step {self.global_step} "
                "had none and were skipped; resume an earlier checkpoint with a lower optimizer.lr."
            )
