"""What phase 1 of a run did to images, from the run's config."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from hpcm_spectral import schedules
from hpcm_spectral.errors import UserError, one_line
from hpcm_spectral.runs.metrics import TAU, MetricsTable
from hpcm_spectral.schedules import LinearSchedule, TauSchedule
from hpcm_spectral.stages import Mask, truncate
from hpcm_spectral.stages.dct_truncation import MASKS

MOMENTS = 4


@dataclass(frozen=True)
class Moment:
    """A cutoff and the epoch at which it is first reached or shown."""

    epoch: float
    tau: float


@dataclass(frozen=True)
class Truncation:
    """Phase 1 as configured.

    Attributes:
        mask: Its mask.
        target: What the loss compared with, ``truncated`` or ``original`` images.
        tau_final: Its last cutoff.
        end_epoch: Its planned end; ``None`` if only a user's own schedule knows.
        moments: At most four cutoffs from the first to the last, all different.
    """

    mask: Mask
    target: str
    tau_final: float
    end_epoch: float | None
    moments: tuple[Moment, ...]

    def apply(self, image: Float[torch.Tensor, "C H W"], tau: float) -> Float[torch.Tensor, "C H W"]:
        """``image`` as phase 1 showed it to the codec at ``tau``."""
        return truncate(image, tau, mask=self.mask, tau_final=self.tau_final)


def read_truncation(phase1: Any, metrics: MetricsTable | None, config: Path) -> Truncation | None:
    """Understand the ``phase1`` node of a config.

    Args:
        phase1: The node, resolved.
        metrics: The run's metrics; a user's own schedule is known from the cutoffs logged there.
        config: The config's file, for messages.

    Returns:
        ``None`` if phase 1 is off or a user's own class.

    Raises:
        UserError: The node has impossible values.
    """
    if not isinstance(phase1, Mapping) or _class_name(phase1, "hpcm_spectral.stages") != "SpectralTruncation":
        return None
    mask, target = phase1.get("mask", "soft"), phase1.get("target", "truncated")
    if mask not in MASKS or target not in ("truncated", "original"):
        raise UserError(f"phase1 in {config} must have a known mask and target, got {mask} and {target}; restore it.")
    try:
        schedule = _schedule(phase1)
    except (TypeError, ValueError) as error:
        raise UserError(f"phase1 in {config} must hold a valid schedule, but: {one_line(error)}") from error
    if schedule is None:
        return _of_log(mask, target, phase1["schedule"], metrics)
    # At num_epochs the stage no longer acts, so tau_final itself is never trained on.
    by_epoch = schedule.granularity == "epoch"
    epochs = np.linspace(0, schedule.num_epochs - (1 if by_epoch else 1e-6), MOMENTS)
    if by_epoch:
        epochs = np.floor(epochs)
    moments = [Moment(float(epoch), schedule(float(epoch))) for epoch in epochs]
    return Truncation(mask, target, schedule.tau_final, float(schedule.num_epochs), _different(moments))


def _schedule(phase1: Mapping[str, Any]) -> TauSchedule | None:
    """The schedule that a phase1 node describes; ``None`` if it is a user's own class."""
    node = phase1.get("schedule")
    if node is None:
        settings = {key: phase1[key] for key in ("tau_init", "tau_final", "num_epochs") if key in phase1}
        return LinearSchedule(**settings)
    kind = getattr(schedules, _class_name(node, "hpcm_spectral.schedules") or "", None)
    if not (isinstance(kind, type) and issubclass(kind, TauSchedule)):
        return None
    return kind(**{key: value for key, value in node.items() if not key.startswith("_")})


def _of_log(mask: Mask, target: str, schedule: Any, metrics: MetricsTable | None) -> Truncation | None:
    logged = metrics.series(TAU) if metrics else None
    if logged is None or not len(logged.values):
        return None
    rows = np.linspace(0, len(logged.values) - 1, MOMENTS).round().astype(int)
    moments = [Moment(float(logged.epochs[row]), float(logged.values[row])) for row in rows]
    last = schedule.get("tau_final") if isinstance(schedule, Mapping) else None
    tau_final = float(last) if isinstance(last, int | float) else float(logged.values.max())
    return Truncation(mask, target, tau_final, None, _different([m for m in moments if m.tau > 0]))


def _different(moments: list[Moment]) -> tuple[Moment, ...]:
    first: dict[float, Moment] = {}
    for moment in moments:
        first.setdefault(round(moment.tau, 6), moment)
    return tuple(first.values())


def _class_name(node: Any, package: str) -> str | None:
    target = node.get("_target_") if isinstance(node, Mapping) else None
    if not isinstance(target, str) or not target.startswith(f"{package}."):
        return None
    return target.rpartition(".")[2]
