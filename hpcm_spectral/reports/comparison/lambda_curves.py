"""Rate-distortion curves: of runs that differ by the weight of the distortion, or of a codec with rate levels."""

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
    """Configs that differ by lambda only, at least two, with the ``settings`` of the first; or one with rate levels.

    ``points`` has a row per config or level by its label, in the order of lambda: ``lmbda``, ``n`` finished runs, and
    the means of their measures at the least validation loss, as in their exported codecs; NaN where one did not log it.
    ``configs`` are the labels of the configs.
    """

    label: str
    settings: Settings
    points: pd.DataFrame
    configs: tuple[str, ...]

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
    """The curves among groups with finished runs; a group of one rate whose lambda no other one varies is on none."""
    families: dict[str, list[tuple[float, Group, pd.Series]]] = {}
    curves = [curve for group in groups if (curve := _of_levels(group)) is not None]
    for group in groups:
        if any(group.label in curve.configs for curve in curves):
            continue
        lmbda = group.settings.get(LMBDA)
        if not isinstance(lmbda, int | float) or not group.finished:
            continue
        means = pd.DataFrame([run.best for run in group.finished])[list(MEASURES)].mean(skipna=False)
        if pd.notna(means[BPP]):
            key = settings_key({key: value for key, value in group.settings.items() if key != LMBDA})
            families.setdefault(key, []).append((float(lmbda), group, means))
    several = [sorted(family, key=lambda point: point[0]) for family in families.values() if family[1:]]
    labels = [common_label([group.label for _, group, _ in f], NAMES, [lmbda for lmbda, *_ in f]) for f in several]
    for label, family in zip(all_different(labels), several, strict=True):
        rows = [{"lmbda": lmbda, "n": len(group.finished), **means} for lmbda, group, means in family]
        configs = [group.label for _, group, _ in family]
        points = pd.DataFrame(rows, index=configs)
        curves.append(LambdaCurve(label, family[0][1].settings, points, tuple(configs)))
    return curves


def _of_levels(group: Group) -> LambdaCurve | None:
    """The curve of a config whose codec has several rate levels; None if it has one."""
    tables = [run.levels for run in group.finished if len(run.levels)]
    if not tables:
        return None
    means = pd.concat(tables).groupby(level=0).mean().dropna(subset=[BPP])
    points = means[["lmbda", *MEASURES]].assign(n=len(tables))[["lmbda", "n", *MEASURES]]
    points.index = [f"{group.label}@{level}" for level in points.index]
    return LambdaCurve(group.label, group.settings, points, (group.label,)) if len(points) > 1 else None
