"""How soon runs reach the final loss of a baseline: the paper's speed-up."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hpcm_spectral.reports.comparison.compared_runs import LOSS, ComparedRun
from hpcm_spectral.reports.comparison.groups import Baseline, Group, what_differs
from hpcm_spectral.reports.lines import smoothed

NOT_REACHED = "not reached"
FACTS = ("level", "config", "run", "seed", "baseline", "target_loss", "baseline_epochs", "smoothing")
FIGURES = ("final", "epochs", "speed_up", "seconds", "time_speed_up")
OF_SEEDS = ("_seeds_mean", "_seeds_deviation", "_seeds_n")
COLUMNS = (*FACTS, *(f"{figure}{of}" for figure in FIGURES for of in ("", *OF_SEEDS)), "note")


def converge(groups: Sequence[Group], baseline: Baseline | None, window: int) -> pd.DataFrame:
    """The curve of every finished run, and then the mean curve of its config, against the config's baseline.

    A smoothed validation averages ``window`` ones, an odd number. A mean of only those seeds that reached the target
    would flatter a config whose other seeds never did.

    Returns:
        A row per curve, whose ``level`` is ``run`` or ``config``. ``target_loss`` is the baseline's smoothed final
        loss, of several seeds its mean; ``final`` the curve's own, ``epochs`` and ``seconds`` those to the target, the
        speed-ups the baseline's over these; ``note`` says why some are missing. Of a config there are mean, deviation
        of the sample and number of the seeds that have a figure.
    """
    rows: list[dict[str, Any]] = []
    for group in groups:
        if baseline is None or not group.finished:
            continue
        curves = [smoothed(run.validation(LOSS), window) for run in group.finished]
        base = baseline.of(group)
        facts: dict[str, Any] = {"config": group.label, "smoothing": window, "baseline": base.label if base else ""}
        if base:
            reference = mean_curve([smoothed(run.validation(LOSS), window) for run in base.finished])
            # Where a noisy baseline touches its final loss earlier, that counts for it as it does for the others.
            target = float(reference.iloc[-1])
            facts |= {"target_loss": target, "baseline_epochs": epochs_to(reference, target), "note": ""}
        else:
            facts["note"] = f"other {what_differs(baseline.groups[0].settings, group.settings)}"
        found = [
            {**facts, "level": "run", "run": run.name, "seed": run.seed, **_reach([run], curve, base, facts)}
            for run, curve in zip(group.finished, curves, strict=True)
        ]
        reached = _reach(group.finished, mean_curve(curves), base, facts)
        mean = {**facts, "level": "config", "run": "", "seed": "", **reached}
        for figure in FIGURES:
            values = [row[figure] for row in found if row.get(figure) is not None]
            deviation = statistics.stdev(values) if values[1:] else None
            of_seeds = (statistics.fmean(values) if values else None, deviation, len(values))
            mean |= {f"{figure}{of}": value for of, value in zip(OF_SEEDS, of_seeds, strict=True)}
        rows += [*found, mean]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def mean_curve(curves: Sequence[pd.Series]) -> pd.Series:
    """Mean of curves at the epochs that all of them have; the first curve if they share none."""
    shared = pd.concat(curves, axis=1, join="inner").sort_index()
    return shared.mean(axis=1) if len(shared) else curves[0]


def epochs_to(curve: pd.Series, target: float) -> float | None:
    """When a curve first is at or below a loss, by linear interpolation between validations; None if it never is."""
    below = np.flatnonzero(curve <= target)
    if not len(below):
        return None
    index = int(below[0])
    if index == 0:
        return float(curve.index[0])
    (a, b), (high, low) = curve.index[index - 1 : index + 1], curve.iloc[index - 1 : index + 1]
    return float(a + (b - a) * (high - target) / (high - low))


def _reach(runs: Sequence[ComparedRun], curve: pd.Series, base: Group | None, facts: dict[str, Any]) -> dict[str, Any]:
    """The figures of a run's curve, or of the mean curve of several."""
    final = {"final": float(curve.iloc[-1])}
    if base is None:
        return final
    epochs = epochs_to(curve, facts["target_loss"])
    if epochs is None:
        return {**final, "note": NOT_REACHED}
    reached = {**final, "epochs": epochs, "speed_up": facts["baseline_epochs"] / epochs}
    if reason := _without_time(runs, base):
        return {**reached, "note": reason}
    seconds, of_base = (
        statistics.fmean(run.seconds / run.epochs for run in own if run.seconds and run.epochs)
        for own in (runs, base.finished)
    )
    times = {"seconds": epochs * seconds, "time_speed_up": facts["baseline_epochs"] * of_base / (epochs * seconds)}
    return {**reached, **times}


def _without_time(runs: Sequence[ComparedRun], base: Group) -> str:
    """Why the seconds of runs do not compare with their baseline's, if they do not."""
    involved = (*runs, *base.finished)
    if not all(run.seconds and run.epochs for run in involved):
        return "seconds unknown"
    # The summary does not count a session that was killed.
    if any(run.sessions > 1 for run in involved):
        return "resumed" if any(run.sessions > 1 for run in runs) else "baseline resumed"
    return "other machine" if len({run.machine for run in involved}) > 1 else ""
