"""The tables of a report: the cells that people read, and the unrounded figures as CSV."""

from typing import Any

import pandas as pd

from hpcm_spectral.reports.comparison.compare import RunComparison
from hpcm_spectral.reports.comparison.convergence import NOT_REACHED

NOTHING = "-"
MEASURES = ("epoch", "loss", "bpp", "psnr", "ms_ssim_db")
RUNS = (
    *("run", "config", "folder", "state", "seed", "epochs", "seconds", "sessions"),
    *(f"{when}_{measure}" for when in ("final", "best") for measure in MEASURES),
)
CURVES = (
    *("curve", "lmbda", "n", "bpp", "psnr", "ms_ssim_db", "config"),
    *(f"bd_rate_{measure}_{what}" for measure in ("psnr", "ms_ssim") for what in ("percent", "note")),
)


def number(value: float | None, digits: int) -> str:
    """A number, or a dash where there is none."""
    return NOTHING if pd.isna(value) else f"{value:,.{digits}f}"


def short(value: float | None) -> str:
    """A number of four digits, or a dash.

    >>> short(1234.5), short(0.12345), short(None)
    ('1,234', '0.1235', '-')
    """
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def run_rows(comparison: RunComparison) -> list[list[str]]:
    """What differs between the runs, and how long each was trained."""
    rows = []
    for index, run in enumerate(comparison.runs):
        settings = [values[index] for values in comparison.differing.values()]
        seed = NOTHING if run.seed is None else str(run.seed)
        rows.append([run.name, run.state, *settings, seed, short(run.epochs), number(run.seconds, 0)])
    return rows


def measure_rows(comparison: RunComparison) -> list[list[str]]:
    """The last and the best validation of every run."""
    rows = []
    for run in comparison.runs:
        cells = [run.name]
        for epoch, loss, bpp, psnr, ms_ssim in (run.final, run.best):
            cells += [short(epoch), number(loss, 3), number(bpp, 4), number(psnr, 2), number(ms_ssim, 2)]
        rows.append(cells)
    return rows


def point_rows(comparison: RunComparison) -> list[list[str]]:
    """The points of the curves of rate and distortion."""
    return [
        [curve.label, short(lmbda), str(n), number(bpp, 4), number(psnr, 2), number(ms_ssim, 2)]
        for curve in comparison.curves
        for lmbda, n, bpp, psnr, ms_ssim in curve.points.itertuples(index=False)
    ]


def convergence_rows(comparison: RunComparison) -> list[list[str]]:
    """Every config against its baseline."""
    configs = comparison.configs
    return [_convergence_row(row, configs) for _, row in configs.iterrows()]


def _convergence_row(row: pd.Series, configs: pd.DataFrame) -> list[str]:
    compared, difference, ranges = row.baseline or row.note, NOTHING, NOTHING
    if row.baseline == row.config:
        compared = "(baseline)"
    elif row.baseline:
        other = configs.loc[row.baseline]
        apart = row.final_seeds_mean - other.final_seeds_mean
        difference, ranges = f"{apart:+.3f}", "unknown"
        if None not in (row.final_seeds_deviation, other.final_seeds_deviation):
            ranges = "apart" if abs(apart) > row.final_seeds_deviation + other.final_seeds_deviation else "overlap"
    cells = [row.config, compared, str(row.final_seeds_n), _seeds(row, "final", 3), difference, ranges]
    if not row.baseline:
        return [*cells, *[NOTHING] * 5]
    seeds = _seeds(row, "speed_up", 2)
    if row.epochs_seeds_n < row.final_seeds_n:
        seeds = f"{row.epochs_seeds_n} of {row.final_seeds_n} reached"
    if row.note == NOT_REACHED:
        return [*cells, NOT_REACHED, NOTHING, seeds, NOTHING, NOTHING]
    times = [row.note, row.note] if row.note else [number(row.seconds, 0), number(row.time_speed_up, 2)]
    return [*cells, number(row.epochs, 2), number(row.speed_up, 2), seeds, *times]


def _seeds(row: pd.Series, figure: str, digits: int) -> str:
    """Mean and standard deviation of a figure over seeds."""
    mean, deviation = row[f"{figure}_seeds_mean"], row[f"{figure}_seeds_deviation"]
    return number(mean, digits) + ("" if pd.isna(deviation) else f" ± {number(deviation, digits)}")


def csv_tables(comparison: RunComparison) -> dict[str, pd.DataFrame]:
    """The report's figures, unrounded, by the names of the files."""
    labels = {run.name: group.label for group in comparison.groups for run in group.runs}
    runs = []
    for index, run in enumerate(comparison.runs):
        facts: list[Any] = [run.name, labels[run.name], run.path, run.state, run.seed, run.epochs, run.seconds]
        settings = [values[index] for values in comparison.differing.values()]
        runs.append([*facts, run.sessions, *run.final, *run.best, *settings])
    curves = []
    for curve in comparison.curves:
        found = {one.measure: one for one in comparison.bd_rates(curve)}
        bd: list[Any] = []
        for measure in ("PSNR", "MS-SSIM"):
            one = found.get(measure)
            # A curve's BD-rates stand in the row of each of its points.
            bd += [one.result.percent if one and one.result else None, one.reason if one else ""]
        for group, point in zip(curve.groups, curve.points.itertuples(index=False), strict=True):
            curves.append([curve.label, *point, group.label, *bd])
    # As objects, so that whole numbers stay whole beside empty cells.
    return {
        "runs.csv": pd.DataFrame(runs, columns=[*RUNS, *comparison.differing], dtype=object),
        "convergence.csv": comparison.convergence,
        "rate_distortion.csv": pd.DataFrame(curves, columns=CURVES, dtype=object),
    }
