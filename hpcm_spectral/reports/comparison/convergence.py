"""How soon runs reach the final loss of a baseline: the paper's speed-up."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from hpcm_spectral.reports.comparison.groups import Baseline, Group
from hpcm_spectral.reports.comparison.runs import LOSS, ComparedRun
from hpcm_spectral.reports.smoothing import centred_mean
from hpcm_spectral.runs.metrics import Series

NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Spread:
    """Mean and spread of a figure over seeds.

    Attributes:
        mean: The mean.
        deviation: Standard deviation of the sample, n - 1 in its denominator; None of one value.
        count: Of values.
    """

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Reach:
    """A curve against its baseline.

    Attributes:
        final: Its smoothed loss at the last validation.
        epochs: To the baseline's final loss; None if it was not reached or there is no baseline.
        speed_up: Epochs of the baseline over these.
        seconds: To the same loss; None if it was not reached or the time does not compare.
        time_speed_up: Seconds of the baseline over these.
        without_time: Why there are no seconds although the loss was reached, or nothing.
    """

    final: float
    epochs: float | None = None
    speed_up: float | None = None
    seconds: float | None = None
    time_speed_up: float | None = None
    without_time: str = ""


@dataclass(frozen=True, kw_only=True)
class RunConvergence(Reach):
    """One run's curve.

    Attributes:
        run: The run.
    """

    run: ComparedRun


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
    runs: tuple[RunConvergence, ...]
    reason: str = ""

    def spread(self, figure: str) -> Spread | None:
        """Mean and spread of an attribute of the runs over those that have it; None if none has."""
        return spread([value for run in self.runs if (value := getattr(run, figure)) is not None])

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
    base = baseline.of(group)
    if base is None:
        runs = tuple(RunConvergence(run=r, final=_last(c)) for r, c in zip(group.finished, curves, strict=True))
        mean = Reach(final=_last(mean_curve(curves)))
        return GroupConvergence(group, None, None, None, mean, runs, baseline.reason_against(group))
    reference = mean_curve([smoothed(run.validation(LOSS), window) for run in base.finished])
    target = _last(reference)
    # Where a noisy baseline touches its final loss earlier, that counts for it as it does for the others.
    epochs = epochs_to(reference, target)
    assert epochs is not None
    runs = tuple(
        RunConvergence(run=run, **vars(_against([run], curve, base, target, epochs)))
        for run, curve in zip(group.finished, curves, strict=True)
    )
    mean = _against(group.finished, mean_curve(curves), base, target, epochs)
    return GroupConvergence(group, base, target, epochs, mean, runs)


def smoothed(series: Series, window: int) -> Series:
    """Centred means over ``window`` values, over fewer at the ends."""
    return Series(series.epochs, centred_mean(series.values, window))


def mean_curve(curves: Sequence[Series]) -> Series:
    """Mean of curves at the epochs that all of them have; the first curve if they share none."""
    epochs = reduce(np.intersect1d, [curve.epochs for curve in curves])
    if not len(epochs):
        return curves[0]
    return Series(epochs, np.mean([np.interp(epochs, curve.epochs, curve.values) for curve in curves], axis=0))


def epochs_to(curve: Series, target: float) -> float | None:
    """When a curve first is at or below a loss, by linear interpolation between validations.

    Returns:
        None if it never is; the first validation's epoch if it is there already.
    """
    below = np.flatnonzero(curve.values <= target)
    if not len(below):
        return None
    index = int(below[0])
    if index == 0:
        return float(curve.epochs[0])
    (a, b), (high, low) = curve.epochs[index - 1 : index + 1], curve.values[index - 1 : index + 1]
    return float(a + (b - a) * (high - target) / (high - low))


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and standard deviation; None of no values.

    >>> spread([1.0, 2.0, 3.0])
    Spread(mean=2.0, deviation=1.0, count=3)
    """
    if not values:
        return None
    return Spread(statistics.fmean(values), statistics.stdev(values) if values[1:] else None, len(values))


def _against(runs: Sequence[ComparedRun], curve: Series, base: Group, target: float, base_epochs: float) -> Reach:
    """The curve of a run, or the mean curve of several."""
    final, epochs = _last(curve), epochs_to(curve, target)
    if epochs is None:
        return Reach(final=final)
    speed_up = base_epochs / epochs
    if reason := _without_time(runs, base):
        return Reach(final=final, epochs=epochs, speed_up=speed_up, without_time=reason)
    seconds = epochs * _seconds_per_epoch(runs)
    time_speed_up = base_epochs * _seconds_per_epoch(base.finished) / seconds
    return Reach(final=final, epochs=epochs, speed_up=speed_up, seconds=seconds, time_speed_up=time_speed_up)


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


def _last(curve: Series) -> float:
    return float(curve.values[-1])
