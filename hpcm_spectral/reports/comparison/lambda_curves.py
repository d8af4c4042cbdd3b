"""Rate-distortion curves of runs that differ by the weight of the distortion."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from hpcm_spectral.reports.comparison.groups import Baseline, Group
from hpcm_spectral.reports.comparison.names import all_different, common_label
from hpcm_spectral.reports.comparison.runs import BPP, MS_SSIM, PSNR
from hpcm_spectral.reports.comparison.settings import LMBDA, what_differs
from hpcm_spectral.reports.reference_curves import MS_SSIM_DB, PSNR_RGB, Comparison, Curve, References, compare

# What lambda may be called in a name.
NAMES = r"loss\.lmbda|lmbda|lambda|l"
# The names of the measures in a curve of published results.
MEASURES = {BPP: "bpp", PSNR: PSNR_RGB, MS_SSIM: MS_SSIM_DB}


class LambdaCurve(NamedTuple):
    """Configs that differ by lambda only, at least two.

    ``points`` has a row per config, in the order of lambda: ``lmbda``, ``n`` finished runs, and the means of their
    measures at the least validation loss, as in their exported codecs; NaN where one of the runs did not log it.
    """

    label: str
    groups: Sequence[Group]
    points: pd.DataFrame

    @property
    def curve(self) -> Curve:
        """Its rates, and the measures that all points have."""
        known = self.points[list(MEASURES)].dropna(axis="columns")
        return Curve(self.label, {MEASURES[measure]: known[measure].tolist() for measure in known})

    def against(self, base: "LambdaCurve") -> list[Comparison]:
        """BD-rates in PSNR and MS-SSIM against the baseline's curve, or why there are none."""
        if what_differs(base.groups[0].settings, self.groups[0].settings, ["data"]):
            return [Comparison("PSNR", base.label, None, "it was validated or trained on other data")]
        return compare(self.curve, References("baseline", base.label, (base.curve,)))


def lambda_curves(groups: Sequence[Group]) -> list[LambdaCurve]:
    """The curves among groups with finished runs; a group whose lambda no other one varies is on none."""
    families: dict[str, list[tuple[float, Group, pd.Series]]] = {}
    for group in groups:
        lmbda = group.settings.get(LMBDA)
        if not isinstance(lmbda, int | float) or not group.finished:
            continue
        means = pd.DataFrame([run.best for run in group.finished])[list(MEASURES)].mean(skipna=False)
        if pd.notna(means[BPP]):
            others = {key: value for key, value in group.settings.items() if key != LMBDA}
            family = families.setdefault(json.dumps(others, sort_keys=True, default=str), [])
            family.append((float(lmbda), group, means))
    several = [sorted(family, key=lambda point: point[0]) for family in families.values() if family[1:]]
    labels = [common_label([group.label for _, group, _ in f], NAMES, [lmbda for lmbda, *_ in f]) for f in several]
    curves = []
    for label, family in zip(all_different(labels), several, strict=True):
        rows = [{"lmbda": lmbda, "n": len(group.finished), **means} for lmbda, group, means in family]
        curves.append(LambdaCurve(label, [group for _, group, _ in family], pd.DataFrame(rows)))
    return curves


def baseline_curve(curves: Sequence[LambdaCurve], baseline: Baseline) -> LambdaCurve | None:
    """The curve with the baseline's runs; None if they are on none."""
    held = (curve for group in baseline.groups for curve in curves if any(own is group for own in curve.groups))
    return next(held, None)
