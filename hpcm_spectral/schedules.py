"""Schedules of the frequency cutoff tau: from ``tau_init`` to ``tau_final`` over ``num_epochs``.

The paper's phase 1 uses the linear one from 0.05 to 1.0 over 100 epochs; exponential and constant ones are
in its ablation.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal

from hpcm_spectral.errors import SettingError

Granularity = Literal["epoch", "step"]
MAX_TAU = 2.0


class TauSchedule(ABC):
    """Maps progress in epochs to the cutoff tau, never falling.

    Starts exactly at ``tau_init`` and is exactly ``tau_final`` from ``num_epochs`` on.

    Args:
        tau_init: Cutoff at the start, as a share of the sampling band: above 0, at most ``tau_final``.
        tau_final: Cutoff at the end, at most 2 (the corner of the spectrum lies at the square root of 2).
        num_epochs: Epochs from the one to the other, at least 1.
        granularity: ``epoch`` changes tau between epochs only, ``step`` with every batch.

    Raises:
        ValueError: A value is outside its range.
    """

    def __init__(
        self, tau_init: float = 0.05, tau_final: float = 1.0, num_epochs: int = 100, granularity: Granularity = "epoch"
    ) -> None:
        for name, tau in (("tau_init", tau_init), ("tau_final", tau_final)):
            if not 0 < tau <= MAX_TAU:
                raise SettingError(name, f"must lie above 0 and at most at {MAX_TAU:g}, got {tau}.")
        if tau_init > tau_final:
            raise SettingError(
                "tau_init", f"must not exceed tau_final ({tau_final}), got {tau_init}; the band only opens."
            )
        if num_epochs < 1:
            raise SettingError(
                "num_epochs", f"must be at least 1, got {num_epochs}; phase1=off trains without phase 1."
            )
        if granularity not in ("epoch", "step"):
            raise SettingError("granularity", f"must be epoch or step, got {granularity!r}.")
        self.tau_init = float(tau_init)
        self.tau_final = float(tau_final)
        self.num_epochs = num_epochs
        self.granularity = granularity

    def __call__(self, progress: float) -> float:
        """Cutoff at ``progress`` epochs (3.5: half-way through the fourth epoch).

        Raises:
            ValueError: ``progress`` is negative or not a number.
        """
        if not progress >= 0:
            raise ValueError(f"progress must be a number of epochs from 0 on, got {progress}.")
        if self.granularity == "epoch":
            progress = math.floor(progress)
        if progress <= 0:
            return self.tau_init
        if progress >= self.num_epochs:
            return self.tau_final
        return min(max(self._between(progress / self.num_epochs), self.tau_init), self.tau_final)

    @abstractmethod
    def _between(self, t: float) -> float:
        """Cutoff at the share ``t`` of the schedule, strictly between 0 and 1."""


class LinearSchedule(TauSchedule):
    """A straight line: the paper's choice.

    Example:
        >>> round(LinearSchedule(0.05, 1.0, 100)(50), 3)
        0.525
    """

    def _between(self, t: float) -> float:
        return self.tau_init + (self.tau_final - self.tau_init) * t


class ExponentialSchedule(TauSchedule):
    """Equal ratios in equal times: slow at first, fast at the end."""

    def _between(self, t: float) -> float:
        return self.tau_init * (self.tau_final / self.tau_init) ** t


class CosineSchedule(TauSchedule):
    """Half a cosine wave: slow at both ends."""

    def _between(self, t: float) -> float:
        return self.tau_init + (self.tau_final - self.tau_init) * (1 - math.cos(math.pi * t)) / 2


class StepSchedule(TauSchedule):
    """Equal levels held for equal times, the first ``tau_init`` and the last ``tau_final``.

    It takes the arguments of :class:`TauSchedule`, and ``num_levels``: how many levels, at least 2.
    """

    def __init__(
        self,
        tau_init: float = 0.05,
        tau_final: float = 1.0,
        num_epochs: int = 100,
        granularity: Granularity = "epoch",
        num_levels: int = 5,
    ) -> None:
        super().__init__(tau_init, tau_final, num_epochs, granularity)
        if num_levels < 2:
            raise SettingError("num_levels", f"must be at least 2, got {num_levels}; schedule=constant has one level.")
        self.num_levels = num_levels

    def _between(self, t: float) -> float:
        level = math.floor(t * self.num_levels)
        return self.tau_init + (self.tau_final - self.tau_init) * level / (self.num_levels - 1)


class ConstantSchedule(TauSchedule):
    """``tau_init`` until ``num_epochs``, ``tau_final`` from then on."""

    def _between(self, t: float) -> float:
        return self.tau_init
