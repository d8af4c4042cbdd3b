"""What the settings of Lightning's Trainer must be, known before it would find out in the middle of a training."""

import contextlib
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from hpcm_spectral.errors import ConfigError

HALF = ("16-true", "bf16-true", "transformer-engine", "transformer-engine-float16")


def check_trainer(node: Mapping[str, Any]) -> None:
    """Refuse numbers that no training can have, as a ConfigError."""
    max_epochs = node.get("max_epochs")
    if not isinstance(max_epochs, int) or not 1 <= max_epochs <= 10**9:
        raise ConfigError(f"trainer.max_epochs must be a whole number from 1 to 10^9, got {max_epochs!r}.")
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps"):
        if (value := node.get(key)) is not None and value < 1:
            raise ConfigError(f"trainer.{key} must be at least 1, got {value}.")
    if (precision := node.get("precision")) in HALF:
        raise ConfigError(
            f"trainer.precision must be 32-true, bf16-mixed or 16-mixed, got {precision}: weights need full precision."
        )
    if (steps := node.get("max_steps")) is not None and steps != -1 and steps < 1:
        raise ConfigError(f"trainer.max_steps must be at least 1, or -1 for no limit, got {steps}.")
    max_time = node.get("max_time")
    with contextlib.suppress(MisconfigurationException, TypeError):  # of another form: the Trainer itself says so
        if max_time is not None and not (Timer(max_time).time_remaining() or 0) > 0:
            raise ConfigError(f"trainer.max_time must be longer than nothing, got {max_time}.")
    clip = node.get("gradient_clip_val")
    if clip is not None and not 0 <= clip < float("inf"):
        raise ConfigError(f"trainer.gradient_clip_val must be a number from 0 on, got {clip}; 0 or null clips nothing.")


def limit_of_steps(node: Mapping[str, Any]) -> float:
    """After how many steps the training is to end, infinite if the epochs alone decide."""
    steps = node.get("max_steps", -1)
    return float("inf") if steps in (None, -1) else float(steps)


def check_limits(node: Mapping[str, Any], batches: int, images: int) -> None:
    """Refuse limits that leave none of an epoch's batches or of the validation images, as a ConfigError."""
    if node.get("limit_train_batches") == 0:
        raise ConfigError("trainer.limit_train_batches must leave at least one step to train, got 0.")
    counts = {"limit_train_batches": batches, "limit_val_batches": images, "overfit_batches": min(batches, images)}
    for key, count in counts.items():
        share = node.get(key)
        if isinstance(share, float) and 0 < share < 1 and int(share * count) == 0:
            raise ConfigError(
                f"trainer.{key} must leave at least one of {count}, got the share {share:g}; raise it, or give a "
                "number such as 1."
            )
    limit = node.get("limit_train_batches")
    left = batches if limit is None else int(limit * batches) if isinstance(limit, float) else min(limit, batches)
    interval = node.get("val_check_interval")
    if isinstance(interval, int) and interval > left and node.get("check_val_every_n_epoch") is not None:
        raise ConfigError(
            f"trainer.val_check_interval must be at most the {left} batches of an epoch, got {interval}; or count "
            "over epochs with trainer.check_val_every_n_epoch=null."
        )
