"""Rate-distortion curves of runs that differ by the weight of the distortion."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from hpcm_spectral.reports.comparison.compared_runs import BPP, MS_SSIM, PSNR, Settings, all_different
from hpcm_spectral.reports.comparison.groups import Group, common_label, settings_key, what_differs
from hpcm_spectral.reports.rate_distortion import MS_SSIM_DB, PSNR_RGB, Comparison, Curve, References, compare

LMBDA = "loss.lmbda"
# What lambda may be called in a name.
NAMES = r"loss\.lmbda|lmbda|lambda|l"
# The names of the measures in a curve of published results.
MEASURES = {BPP: "bpp", PSNR: PSNR_RGB, MS_SSIM: MS_SSIM_DB}


class LambdaCurve(NamedTuple):
    """Configs that differ by lambda only, at least two, with the ``settings`` of the first.

    ``points`` has a row per config by its label, in the order of lambda: ``lmbda``, ``n`` finished runs, and the means
    of their measures at the least validation loss, as in their exported codecs; NaN where one did not log it.
    """

    label: str
    settings: Settings
    points: pd.DataFrame

    @property
    def curve(self) -> Curve:
        """Its rates, and the measures that all points have."""
        known = self.points[list(MEASURES)].dropna(axis="columns")
        return Curve(self.label, {MEASURES[measure]: known[measure].tolist() for measure in known})

    def against(self, base: "LambdaCurve") -> list[Comparison]:
        """BD-rates in PSNR and MS-SSIM against the baseline's curve, or why there are none."""
        if what_differs(base.settings, self.settings, ["data"]):
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
            key = settings_key({key: value for key, value in group.settings.items() if key != LMBDA})
            families.setdefault(key, []).append((float(lmbda), group, means))
    several = [sorted(family, key=lambda point: point[0]) for family in families.values() if family[1:]]
    labels = [common_label([group.label for _, group, _ in f], NAMES, [lmbda for lmbda, *_ in f]) for f in several]
    curves = []
    for label, family in zip(all_different(labels), several, strict=True):
        rows = [{"lmbda": lmbda, "n": len(group.finished), **means} for lmbda, group, means in family]
        points = pd.DataFrame(rows, index=[group.label for _, group, _ in family])
        curves.append(LambdaCurve(label, family[0][1].settings, points))
    return curves
