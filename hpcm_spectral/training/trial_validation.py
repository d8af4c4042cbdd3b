"""A small validation and a loss per stage before the first step, so that what breaks in them breaks at once."""

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float

from hpcm_spectral.errors import ConfigError, UserError, first_line
from hpcm_spectral.stages import Stage
from hpcm_spectral.training.module import CodecModule

MAX_SIDE = 99
# Missing in the trial, whose image is small.
OF_LARGE_IMAGES = "ms_ssim_db"


def validate_once(
    module: CodecModule,
    image: Float[torch.Tensor, "3 H W"],
    monitors: Mapping[str, str | None],
    *,
    crop_size: int,
    partial: bool = False,
) -> None:
    """Try a copy of what is to be trained, which itself stays as it is: a corner of odd sides of an image, and a crop.

    Args:
        module: The codec with its loss.
        image: A validation image.
        monitors: Metrics that are watched, by the keys of the settings that name them.
        crop_size: Of the training's crops; one is tried at the start of each stage.
        partial: Whether partial reconstructions are wanted, too.

    Raises:
        ConfigError: The validation fails or has no such metric, or a stage fails.
    """
    trial = copy.deepcopy(module).eval()
    height, width = ((min(side, MAX_SIDE) - 1) // 2 * 2 + 1 for side in image.shape[-2:])
    x = image[None, :, :height, :width]
    codec = type(module.codec.network).__name__
    failure = f"model must validate images of any size, but {codec} failed on one of {height}x{width} pixels"
    with _told(failure, "; see codec.py for what it must do"), torch.random.fork_rng(devices=[]), torch.no_grad():
        trial.codec.settle()
        metrics = trial.validation_metrics(x)
        shape = trial.codec(x)["x_hat"].shape
        if partial:
            trial.codec.reconstructions(x)
    if shape != x.shape:
        raise ConfigError(f"model must return x_hat of the images' shape {list(x.shape)}, got {list(shape)}.")
    loss = float(metrics["loss"])
    if not math.isfinite(loss):
        raise ConfigError(f"model must give a finite loss, got {loss:g} for an image before training.")
    known = [f"val/{key}" for key in (*metrics, *([OF_LARGE_IMAGES] if module.ms_ssim else []))]
    for key, name in monitors.items():
        if name is not None and name.startswith("val/") and name not in known:
            raise ConfigError(f"{key} must name a metric of the validation ({', '.join(known)}), got {name}.")
    stages = _stages(trial)
    for progress in sorted({0.0, *(float(stage.start_epoch) for stage in stages)}):
        _try_step(trial.train(), crop_size, progress)


def _try_step(trial: CodecModule, crop_size: int, progress: float) -> None:
    acting = [stage.phase for stage in _stages(trial) if stage.is_active(progress)]
    failure = f"A training step must work at epoch {progress:g} with {', '.join(acting) or 'no stage'}, but fails"
    with _told(failure), torch.random.fork_rng(devices=[]):
        step = trial.training_loss(torch.rand(1, 3, crop_size, crop_size), progress)
        if not step.loss.requires_grad:
            raise ConfigError("model must have weights that its loss depends on, got none; detach no output.")
        for key, value in step.numbers.items():
            if not isinstance(key, str) or not isinstance(value, float | int | torch.Tensor):
                raise TypeError(f"numbers to log must stand by name, got {key!r}: {type(value).__name__}")
            float(value)


@contextlib.contextmanager
def _told(failure: str, advice: str = "") -> Iterator[None]:
    """Have whatever fails in a user's own class end in one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(f"{failure}: {type(error).__name__}: {first_line(error)}{advice}.") from error


def _stages(module: CodecModule) -> list[Stage]:
    return [stage for stage in module.stages if isinstance(stage, Stage)]
