"""Everything that a report says of its runs, before it is said."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.names import printable
from hpcm_spectral.reports.comparison.compared_runs import ComparedRun, read_runs
from hpcm_spectral.reports.comparison.convergence import converge
from hpcm_spectral.reports.comparison.groups import (
    Baseline,
    Group,
    choose_baseline,
    differing,
    group_runs,
    what_differs,
)
from hpcm_spectral.reports.comparison.lambda_curves import LambdaCurve, lambda_curves
from hpcm_spectral.reports.rate_distortion import Comparison
from hpcm_spectral.runs.discovery import LeftOut


@dataclass(frozen=True)
class RunComparison:
    """Runs beside each other.

    Attributes:
        given: What the user named.
        runs: At least one.
        left_out: Folders that take no part.
        groups: The runs by config.
        differing: The settings that differ, each with its value in every run.
        window: How many validations a smoothed one averages.
        baseline: What the others are compared with; None if no run has finished.
        convergence: Of the groups with finished runs; see `converge`.
        curves: Rate and distortion of runs that differ by lambda.
        base_curves: The baseline's among them, if its runs are on one: one per model that it has.
    """

    given: tuple[str, ...]
    runs: tuple[ComparedRun, ...]
    left_out: tuple[LeftOut, ...]
    groups: tuple[Group, ...]
    differing: dict[str, list[str]]
    window: int
    baseline: Baseline | None
    convergence: pd.DataFrame
    curves: tuple[LambdaCurve, ...]
    base_curves: tuple[LambdaCurve, ...]

    @property
    def configs(self) -> pd.DataFrame:
        """The rows of `convergence` of configs, by their labels."""
        return self.convergence.query("level == 'config'").set_index("config", drop=False)

    def bd_rates(self, curve: LambdaCurve) -> list[Comparison]:
        """A curve against the baseline's of its model, or else the first; nothing for a baseline's own."""
        if not self.base_curves or any(curve is base for base in self.base_curves):
            return []
        own = (base for base in self.base_curves if _of_one_model(base, curve))
        return curve.against(next(own, self.base_curves[0]))


def compare_runs(given: Sequence[str], *, baseline: str | None = None, window: int = 3) -> RunComparison:
    """Read run folders and compare them.

    Args:
        given: Run folders, folders that hold some at any depth, and globs of either.
        baseline: See `choose_baseline`.
        window: How many validations a smoothed one averages; odd, 1 for none.

    Raises:
        ConfigError: A path does not exist, no usable run is found, or the baseline or window is impossible.
    """
    if window < 1 or window % 2 == 0:
        raise ConfigError(f"smoothing must be an odd number of validations from 1 on, got {window}; 1 does not smooth.")
    if not given:
        raise ConfigError("runs must name at least one folder, got an empty list.")
    runs, left_out = read_runs(given)
    if not runs:
        reasons = "; ".join(f"{folder.path}: {folder.reason.rstrip('.')}" for folder in left_out[:3])
        raise ConfigError(
            f"runs must hold at least one run with a validation, but all {len(left_out)} folders found are left out "
            f"({reasons}{'; ...' * (len(left_out) > 3)})."
        )
    groups = group_runs(runs)
    chosen = choose_baseline(groups, baseline)
    curves = lambda_curves(groups)
    base_curves: list[LambdaCurve] = []
    for group in chosen.groups if chosen else ():
        base_curves += [
            curve
            for curve in curves
            if group.label in curve.configs and not any(_of_one_model(base, curve) for base in base_curves)
        ]
    return RunComparison(
        given=tuple(map(printable, given)),
        runs=tuple(runs),
        left_out=tuple(left_out),
        groups=tuple(groups),
        differing=differing([run.settings for run in runs]),
        window=window,
        baseline=chosen,
        convergence=converge(groups, chosen, window),
        curves=tuple(curves),
        base_curves=tuple(base_curves),
    )


def _of_one_model(one: LambdaCurve, other: LambdaCurve) -> bool:
    return what_differs(one.settings, other.settings, ["model"]) is None
