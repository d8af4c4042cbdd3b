"""Rate-distortion curves of runs that differ by the weight of the distortion."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from hpcm_spectral.reports.comparison.groups import Baseline, Group
from hpcm_spectral.reports.comparison.names import all_different, common_label
from hpcm_spectral.reports.comparison.runs import BPP, MS_SSIM, PSNR
from hpcm_spectral.reports.comparison.settings import LMBDA, what_differs
from hpcm_spectral.reports.reference_curves import MS_SSIM_DB, PSNR_RGB, Comparison, Curve, References, compare

# What lambda may be called in a name.
NAMES = r"loss\.lmbda|lmbda|lambda|l"
MEASURES = {"bpp": BPP, PSNR_RGB: PSNR, MS_SSIM_DB: MS_SSIM}


class Point(NamedTuple):
    """The finished runs of one lambda, each at its least validation loss, as its exported codec.

    ``means`` are those of the measures of `MEASURES` over the runs; NaN where one of them did not log it.
    """

    lmbda: float
    group: Group
    means: pd.Series


@dataclass(frozen=True)
class LambdaCurve:
    """Finished runs that differ by lambda and seed only.

    Attributes:
        label: What to call them.
        points: At least two, in the order of lambda.
    """

    label: str
    points: tuple[Point, ...]

    @property
    def curve(self) -> Curve:
        """Its rates, and the measures that all points have."""
        means = pd.DataFrame([point.means for point in self.points]).dropna(axis="columns")
        return Curve(self.label, {key: means[key].tolist() for key in means})

    def against(self, base: "LambdaCurve") -> list[Comparison]:
        """BD-rates in PSNR and MS-SSIM against the baseline's curve, or why there are none."""
        if what_differs(base.points[0].group.settings, self.points[0].group.settings, ["data"]):
            return [Comparison("PSNR", base.label, None, "it was validated or trained on other data")]
        return compare(self.curve, References("baseline", base.label, (base.curve,)))


def lambda_curves(groups: Sequence[Group]) -> list[LambdaCurve]:
    """The curves among groups; a group whose lambda no other one varies is on none."""
    families: dict[str, list[Point]] = {}
    for group in groups:
        lmbda = group.settings.get(LMBDA)
        if not isinstance(lmbda, int | float) or not group.finished:
            continue
        best = pd.DataFrame([run.best for run in group.finished])
        means = pd.Series({name: best[measure].mean(skipna=False) for name, measure in MEASURES.items()})
        if pd.notna(means["bpp"]):
            others = {key: value for key, value in group.settings.items() if key != LMBDA}
            point = Point(float(lmbda), group, means)
            families.setdefault(json.dumps(others, sort_keys=True, default=str), []).append(point)
    several = [tuple(sorted(family, key=lambda point: point.lmbda)) for family in families.values() if family[1:]]
    labels = [common_label([p.group.label for p in family], NAMES, [p.lmbda for p in family]) for family in several]
    return [LambdaCurve(label, family) for label, family in zip(all_different(labels), several, strict=True)]


def baseline_curve(curves: Sequence[LambdaCurve], baseline: Baseline) -> LambdaCurve | None:
    """The curve with the baseline's runs; None if they are on none."""
    held = (curve for group in baseline.groups for curve in curves if any(p.group is group for p in curve.points))
    return next(held, None)
