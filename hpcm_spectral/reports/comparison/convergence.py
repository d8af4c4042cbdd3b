"""How soon runs reach the final loss of a baseline: the paper's speed-up."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from hpcm_spectral.reports.comparison.groups import Baseline, Group
from hpcm_spectral.reports.comparison.runs import LOSS, ComparedRun
from hpcm_spectral.reports.lines import smoothed

NOT_REACHED = "not reached"


class Spread(NamedTuple):
    """Mean and spread of a figure over ``seeds`` runs.

    The deviation is that of the sample, n - 1 in its denominator; None of one value.
    """

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Reach:
    """A curve against its baseline.

    Attributes:
        run: The run whose curve it is; None of a mean curve.
        final: Its smoothed loss at the last validation.
        epochs: To the baseline's final loss; None if it was not reached or there is no baseline.
        speed_up: Epochs of the baseline over these.
        seconds: To the same loss; None if it was not reached or the time does not compare.
        time_speed_up: Seconds of the baseline over these.
        without_time: Why there are no seconds although the loss was reached, or nothing.
    """

    run: ComparedRun | None
    final: float
    epochs: float | None = None
    speed_up: float | None = None
    seconds: float | None = None
    time_speed_up: float | None = None
    without_time: str = ""


@dataclass(frozen=True)
class GroupConvergence:
    """Runs that differ by their seed only, against their baseline.

    Attributes:
        group: The group.
        baseline: Their baseline; None if there is none.
        target: The baseline's smoothed final loss, of several seeds its mean; None without a baseline.
        epochs: The baseline's epochs to it; None without a baseline.
        mean: The mean curve of the finished runs. A mean of only those that reached the target would flatter a config
            whose other seeds never did.
        runs: The finished runs.
        reason: Why there is no baseline, or nothing.
    """

    group: Group
    baseline: Group | None
    target: float | None
    epochs: float | None
    mean: Reach
    runs: tuple[Reach, ...]
    reason: str = ""

    def spread(self, figure: str) -> Spread | None:
        """Mean and spread of an attribute of the runs over those that have it; None if none has."""
        values = [value for run in self.runs if (value := getattr(run, figure)) is not None]
        if not values:
            return None
        return Spread(statistics.fmean(values), statistics.stdev(values) if values[1:] else None, len(values))

    @property
    def reached(self) -> int:
        """How many of the runs reached the target."""
        return sum(run.epochs is not None for run in self.runs)


def converge(groups: Sequence[Group], baseline: Baseline, window: int) -> list[GroupConvergence]:
    """Every group with finished runs against its baseline.

    Args:
        groups: All of them.
        baseline: What to compare with.
        window: How many validations a smoothed one averages, odd.
    """
    return [_converge(group, baseline, window) for group in groups if group.finished]


def _converge(group: Group, baseline: Baseline, window: int) -> GroupConvergence:
    curves = [smoothed(run.validation(LOSS), window) for run in group.finished]
    mean = mean_curve(curves)
    base = baseline.of(group)
    if base is None:
        finals = tuple(Reach(run=r, final=_last(c)) for r, c in zip(group.finished, curves, strict=True))
        reason = baseline.reason_against(group)
        return GroupConvergence(group, None, None, None, Reach(run=None, final=_last(mean)), finals, reason)
    reference = mean_curve([smoothed(run.validation(LOSS), window) for run in base.finished])
    target = _last(reference)
    # Where a noisy baseline touches its final loss earlier, that counts for it as it does for the others.
    epochs = epochs_to(reference, target)
    assert epochs is not None

    def reach(runs: Sequence[ComparedRun], curve: pd.Series, run: ComparedRun | None) -> Reach:
        own = epochs_to(curve, target)
        if own is None:
            return Reach(run=run, final=_last(curve))
        known = Reach(run=run, final=_last(curve), epochs=own, speed_up=epochs / own)
        if reason := _without_time(runs, base):
            return replace(known, without_time=reason)
        seconds = own * _seconds_per_epoch(runs)
        return replace(known, seconds=seconds, time_speed_up=epochs * _seconds_per_epoch(base.finished) / seconds)

    runs = tuple(reach([run], curve, run) for run, curve in zip(group.finished, curves, strict=True))
    return GroupConvergence(group, base, target, epochs, reach(group.finished, mean, None), runs)


def mean_curve(curves: Sequence[pd.Series]) -> pd.Series:
    """Mean of curves at the epochs that all of them have; the first curve if they share none."""
    shared = pd.concat(curves, axis=1, join="inner").sort_index()
    return shared.mean(axis=1) if len(shared) else curves[0]


def epochs_to(curve: pd.Series, target: float) -> float | None:
    """When a curve first is at or below a loss, by linear interpolation between validations.

    Returns:
        None if it never is; the first validation's epoch if it is there already.
    """
    below = np.flatnonzero(curve <= target)
    if not len(below):
        return None
    index = int(below[0])
    if index == 0:
        return float(curve.index[0])
    (a, b), (high, low) = curve.index[index - 1 : index + 1], curve.iloc[index - 1 : index + 1]
    return float(a + (b - a) * (high - target) / (high - low))


def _without_time(runs: Sequence[ComparedRun], base: Group) -> str:
    """Why the seconds of runs do not compare with their baseline's, if they do not."""
    involved = (*runs, *base.finished)
    if not all(run.seconds and run.epochs for run in involved):
        return "seconds unknown"
    # The summary does not count a session that was killed.
    if any(run.sessions > 1 for run in involved):
        return "resumed" if any(run.sessions > 1 for run in runs) else "baseline resumed"
    return "other machine" if len({run.machine for run in involved}) > 1 else ""


def _seconds_per_epoch(runs: Sequence[ComparedRun]) -> float:
    """Mean over runs that know both."""
    return statistics.fmean((run.seconds or math.nan) / (run.epochs or math.nan) for run in runs)


def _last(curve: pd.Series) -> float:
    return float(curve.iloc[-1])
