"""The report's figures as CSV, unrounded."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from hpcm_spectral.reports.comparison.comparison import RunComparison
from hpcm_spectral.reports.comparison.convergence import NOT_REACHED, GroupConvergence, Reach
from hpcm_spectral.reports.comparison.runs import Validation

FIGURES = ("final", "epochs", "speed_up", "seconds", "time_speed_up")


def csv_tables(comparison: RunComparison) -> dict[str, str]:
    """Every table by the name of its file."""
    return {
        "runs.csv": _csv(_runs(comparison)),
        "convergence.csv": _csv(_convergence(comparison)),
        "rate_distortion.csv": _csv(_rate_distortion(comparison)),
    }


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _runs(comparison: RunComparison) -> Iterable[Sequence[Any]]:
    measures = [
        f"{when}_{name}" for when in ("final", "best") for name in ("epoch", "loss", "bpp", "psnr", "ms_ssim_db")
    ]
    keys = comparison.differing
    yield ["run", "config", "folder", "state", "seed", "epochs", "seconds", "sessions", *measures, *keys]
    labels = {run.name: group.label for group in comparison.groups for run in group.runs}
    for index, run in enumerate(comparison.runs):
        facts = [run.state, run.seed, run.epochs, run.seconds, run.sessions]
        settings = [values[index] for values in keys.values()]
        yield [run.name, labels[run.name], run.path, *facts, *_cells(run.final), *_cells(run.best), *settings]


def _cells(validation: Validation | None) -> list[float | None]:
    assert validation is not None
    return [validation.epoch, validation.loss, validation.bpp, validation.psnr, validation.ms_ssim]


def _convergence(comparison: RunComparison) -> Iterable[Sequence[Any]]:
    """A row per run, then one per config: its mean curve, and mean and deviation of the seeds that have a figure."""
    figures = [f"{name}{of}" for name in FIGURES for of in ("", "_seeds_mean", "_seeds_deviation", "_seeds_n")]
    target = ["baseline", "target_loss", "baseline_epochs", "smoothing"]
    yield ["level", "config", "run", "seed", *target, *figures, "note"]
    for row in comparison.convergence:
        facts = [row.baseline.label if row.baseline else "", row.target, row.epochs, comparison.window]
        for run in row.runs:
            cells = [cell for name in FIGURES for cell in (getattr(run, name), None, None, None)]
            yield ["run", row.group.label, run.run.name, run.run.seed, *facts, *cells, _note(row, run)]
        cells = []
        for name in FIGURES:
            spread = row.spread(name)
            seeds = [spread.mean, spread.deviation, spread.count] if spread else [None, None, 0]
            cells += [getattr(row.mean, name), *seeds]
        yield ["config", row.group.label, "", "", *facts, *cells, _note(row, row.mean)]


def _note(row: GroupConvergence, curve: Reach) -> str:
    return row.reason or (NOT_REACHED if curve.epochs is None else curve.without_time)


def _rate_distortion(comparison: RunComparison) -> Iterable[Sequence[Any]]:
    """A row per point; the curve's BD-rates stand in each of its rows."""
    bd = [f"bd_rate_{measure}_{what}" for measure in ("psnr", "ms_ssim") for what in ("percent", "note")]
    yield ["curve", "lmbda", "n", "bpp", "psnr", "ms_ssim_db", "config", *bd]
    for curve in comparison.curves:
        found = {comparison.measure: comparison for comparison in comparison.bd_rates(curve)}
        cells: list[Any] = []
        for measure in ("PSNR", "MS-SSIM"):
            one = found.get(measure)
            cells += [one.result.percent if one and one.result else None, one.reason if one else ""]
        for point in curve.points:
            values = [point.lmbda, point.count, point.bpp, point.psnr, point.ms_ssim]
            yield [curve.label, *values, point.group.label, *cells]
