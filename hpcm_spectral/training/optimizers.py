"""The optimizer and its learning-rate schedule, from settings: any of PyTorch's, with the published one as default."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from hpcm_spectral.errors import ConfigError, SettingError, first_line
from hpcm_spectral.training.clipping import prefer_fused

Groups = list[dict[str, Any]]


def published_drops(
    optimizer: torch.optim.Optimizer,
    max_epochs: int,
    milestones: Sequence[float] = (0.91667, 0.95, 0.98333),
    factors: Sequence[float] = (0.3, 0.1, 0.01),
) -> LambdaLR:
    """Learning rates that drop at given shares of the training.

    Published for HPCM: 1e-4, from epoch 2750 of 3000 on 3e-5, from 2850 on 1e-5, from 2950 on 1e-6. As shares they
    keep that shape at any length.

    Args:
        optimizer: Whose rates drop, once per epoch.
        max_epochs: Length of the training.
        milestones: Shares of it at which they drop, rising, within (0, 1]; each is rounded to an epoch.
        factors: What the rates are multiplied with from each milestone on.

    Raises:
        SettingError: A value is outside its range.
    """
    if any(not 0 < share <= 1 for share in milestones) or list(milestones) != sorted(set(milestones)):
        raise SettingError("milestones", f"must be rising shares of max_epochs within (0, 1], got {list(milestones)}.")
    if len(factors) != len(milestones) or any(not factor > 0 for factor in factors):
        raise SettingError(
            "factors",
            f"must hold one number above 0 for each of the {len(milestones)} milestones, got {list(factors)}.",
        )

    def factor(epoch: int) -> float:
        current = 1.0
        for share, lower in zip(milestones, factors, strict=True):
            if epoch >= max(1, round(share * max_epochs)):
                current = lower
        return current

    return LambdaLR(optimizer, factor)


def warmup_cosine(
    optimizer: torch.optim.Optimizer, total_steps: int, warmup: float = 0.05, final: float = 0.01
) -> LambdaLR:
    """Learning rates that rise along a line and then fall along half a cosine wave, step by step.

    Args:
        optimizer: Whose rates they are.
        total_steps: Optimizer steps of the whole training.
        warmup: Share of them over which the rates rise, within [0, 1).
        final: What is left of the rates at the end, within [0, 1].

    Raises:
        SettingError: A value is outside its range.
    """
    if not 0 <= warmup < 1:
        raise SettingError("warmup", f"must be a share of the training within [0, 1), got {warmup}.")
    if not 0 <= final <= 1:
        raise SettingError("final", f"must be a share of the learning rate within [0, 1], got {final}.")
    rising = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        share = min(1.0, (step - rising) / max(1, total_steps - rising))
        return final + (1 - final) * (1 + math.cos(math.pi * share)) / 2

    return LambdaLR(optimizer, factor)


@dataclass(frozen=True)
class Recipe:
    """How a codec is optimised.

    Args:
        make_optimizer: Makes the optimizer from parameter groups.
        make_scheduler: Makes the schedule from the optimizer, and from ``total_steps`` where it takes them; None: the
            learning rates stay.
        interval: What the schedule counts, ``epoch`` or ``step``.
        monitor: The metric that the schedule watches, once per epoch that has it; None: none.
        counts_steps: Whether ``make_scheduler`` is to be given ``total_steps``.
    """

    make_optimizer: Callable[[Groups], torch.optim.Optimizer]
    make_scheduler: Callable[..., LRScheduler] | None = None
    interval: str = "epoch"
    monitor: str | None = None
    counts_steps: bool = False

    def optimizer(self, groups: Groups) -> torch.optim.Optimizer:
        """The optimizer over parameter groups; a group may bring its own ``lr``.

        Raises:
            ConfigError: The settings do not fit.
        """
        made = _made("optimizer", self.make_optimizer, groups)
        if not isinstance(made, torch.optim.Optimizer):
            raise ConfigError(f"optimizer._target_ must name an optimizer of torch.optim, got {type(made).__name__}.")
        for group in made.param_groups:
            if not 0 < group["lr"] < math.inf:
                raise ConfigError(f"optimizer.lr must be a number above 0, got {group['lr']}.")
            group["initial_lr"] = group["lr"]
        prefer_fused(made)
        return made

    def scheduler(self, optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler | None:
        """The schedule of an optimizer's learning rates; every group keeps its rate's ratio to the first one's.

        Raises:
            ConfigError: The settings do not fit.
        """
        if self.make_scheduler is None:
            return None
        ratios = lr_ratios(optimizer)
        steps = {"total_steps": total_steps} if self.counts_steps else {}
        made = _made("lr_scheduler", self.make_scheduler, optimizer, **steps)
        if not isinstance(made, LRScheduler):
            got = type(made).__name__
            raise ConfigError(f"lr_scheduler._target_ must name a schedule of torch.optim.lr_scheduler, got {got}.")
        if isinstance(made, ReduceLROnPlateau) and self.monitor is None:
            raise ConfigError("lr_scheduler.monitor must name a metric for this schedule, got null; val/loss is one.")
        keep_ratios(made, ratios)
        return made


def _made(key: str, make: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a user's settings make."""
    try:
        return make(*arguments, **named)
    except SettingError as error:
        raise ConfigError(f"{key}.{error}") from error
    except (ValueError, TypeError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        raise ConfigError(f"{key} cannot be built: {first_line(error)}.") from error


def lr_ratios(optimizer: torch.optim.Optimizer) -> list[float]:
    """Each group's learning rate as a multiple of the first one's."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return [rate / rates[0] for rate in rates]


def keep_ratios(scheduler: LRScheduler, ratios: Sequence[float]) -> None:
    """Let the rates of all groups follow the first one's, which a schedule of absolute rates would level out."""
    if isinstance(scheduler, LambdaLR):  # multiplies
        return
    groups = scheduler.optimizer.param_groups
    for group, ratio in zip(groups[1:], ratios[1:], strict=True):
        group["lr"] = groups[0]["lr"] * ratio
