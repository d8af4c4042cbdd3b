"""The tables of a report: the cells that people read, and the unrounded figures as CSV."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from hpcm_spectral.names import printable
from hpcm_spectral.reports.comparison.compare import RunComparison
from hpcm_spectral.reports.comparison.convergence import NOT_REACHED

NOTHING = "-"
NO_CURVE = "the baseline was trained for one lambda only, which makes no curve"
Format = Callable[[Any], str]


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


# Figures of a validation, and how people read them.
MEASURES: dict[str, Format] = {
    "epoch": short,
    "loss": partial(number, digits=3),
    "bpp": partial(number, digits=4),
    "psnr": partial(number, digits=2),
    "ms_ssim_db": partial(number, digits=2),
}
VALIDATIONS = {f"{when}_{name}": form for when in ("final", "best") for name, form in MEASURES.items()}
RUNS = ("run", "config", "folder", "state", "seed", "epochs", "seconds", "sessions", *VALIDATIONS, "validations_lost")
POINTS: dict[str, Format] = {"curve": str, "lmbda": short, "n": str}
POINTS |= {measure: MEASURES[measure] for measure in ("bpp", "psnr", "ms_ssim_db")}
CURVES = (
    *(*POINTS, "config"),
    *(f"bd_rate_{measure}_{what}" for measure in ("psnr", "ms_ssim") for what in ("percent", "note")),
)


def readable_tables(comparison: RunComparison, tables: Mapping[str, pd.DataFrame]) -> dict[str, list[list[str]]]:
    """The cells that people read: of the tables of `csv_tables`, by their names in the template."""
    seed: dict[str, Format] = {"seed": lambda value: NOTHING if value is None else str(value)}
    words: dict[str, Format] = dict.fromkeys(("run", "state", *comparison.differing), str)
    configs = comparison.configs
    return {
        "run_rows": _cells(
            tables["runs.csv"], {**words, **seed, "epochs": short, "seconds": partial(number, digits=0)}
        ),
        "measure_rows": _cells(tables["runs.csv"], {"run": str, **VALIDATIONS}),
        "point_rows": _cells(tables["rate_distortion.csv"], POINTS),
        "convergence_rows": [_convergence_row(row, configs) for _, row in configs.iterrows()],
        "left_out_rows": [[printable(folder.path), printable(folder.reason)] for folder in comparison.left_out],
    }


def _cells(table: pd.DataFrame, formats: Mapping[str, Format]) -> list[list[str]]:
    rows = table[list(formats)].itertuples(index=False)
    return [[form(value) for form, value in zip(formats.values(), row, strict=True)] for row in rows]


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
        facts: list[Any] = [
            run.name,
            labels[run.name],
            printable(run.path),
            run.state,
            run.seed,
            run.epochs,
            run.seconds,
        ]
        settings = [values[index] for values in comparison.differing.values()]
        runs.append([*facts, run.sessions, *run.final, *run.best, run.lost, *settings])
    curves = []
    for curve in comparison.curves:
        found = {one.measure: one for one in comparison.bd_rates(curve)}
        without = "" if comparison.base_curves else NO_CURVE
        bd: list[Any] = []
        for one in map(found.get, ("PSNR", "MS-SSIM")):
            bd += [one.result.percent if one and one.result else None, one.note if one else without]
        # A curve's BD-rates stand in the row of each of its points.
        curves += [[curve.label, *point, config, *bd] for config, *point in curve.points.itertuples()]
    # As objects, so that whole numbers stay whole beside empty cells.
    return {
        "runs.csv": pd.DataFrame(runs, columns=[*RUNS, *comparison.differing], dtype=object),
        "convergence.csv": comparison.convergence,
        "rate_distortion.csv": pd.DataFrame(curves, columns=CURVES, dtype=object),
    }
