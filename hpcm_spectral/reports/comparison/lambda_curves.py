"""Rate-distortion curves of runs that differ by the weight of the distortion."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpcm_spectral.reports.comparison.groups import Baseline, Group
from hpcm_spectral.reports.comparison.names import common_label, different_labels
from hpcm_spectral.reports.comparison.settings import LMBDA, what_differs
from hpcm_spectral.reports.reference_curves import MS_SSIM_DB, PSNR, Comparison, Curve, References, compare

# What lambda may be called in a name.
NAMES = r"loss\.lmbda|lmbda|lambda|l"


@dataclass(frozen=True)
class Point:
    """The runs of one lambda, each at its least validation loss, as its exported codec.

    Attributes:
        lmbda: The weight of the distortion.
        group: The runs.
        bpp: Estimated bits per pixel, mean over the finished runs.
        psnr: In dB, likewise; None if one of them did not log it.
        ms_ssim: In dB, likewise.
        count: Of finished runs.
    """

    lmbda: float
    group: Group
    bpp: float
    psnr: float | None
    ms_ssim: float | None
    count: int


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
        columns: Mapping[str, Sequence[float | None]] = {
            "bpp": [point.bpp for point in self.points],
            PSNR: [point.psnr for point in self.points],
            MS_SSIM_DB: [point.ms_ssim for point in self.points],
        }
        known = {name: [v for v in values if v is not None] for name, values in columns.items() if None not in values}
        return Curve(self.label, known)


def lambda_curves(groups: Sequence[Group]) -> list[LambdaCurve]:
    """The curves among groups; a group whose lambda no other one varies is on none."""
    families: dict[str, list[Point]] = {}
    for group in groups:
        if (point := _point(group)) is not None:
            others = {key: value for key, value in group.settings.items() if key != LMBDA}
            families.setdefault(json.dumps(others, sort_keys=True, default=str), []).append(point)
    several = [tuple(sorted(family, key=lambda point: point.lmbda)) for family in families.values() if family[1:]]
    labels = [common_label([p.group.label for p in family], NAMES, [p.lmbda for p in family]) for family in several]
    return [LambdaCurve(label, family) for label, family in zip(different_labels(labels), several, strict=True)]


def baseline_curve(curves: Sequence[LambdaCurve], baseline: Baseline) -> LambdaCurve | None:
    """The curve with the baseline's runs; None if they are on none."""
    return next((curve for group in baseline.groups for curve in curves if _holds(curve, group)), None)


def against(curve: LambdaCurve, base: LambdaCurve) -> list[Comparison]:
    """BD-rates in PSNR and MS-SSIM against the baseline's curve, or why there are none."""
    if what_differs(base.points[0].group.settings, curve.points[0].group.settings, ["data"]):
        return [Comparison("PSNR", base.label, None, "it was validated or trained on other data")]
    return compare(curve.curve, References("baseline", base.label, (base.curve,)))


def _holds(curve: LambdaCurve, group: Group) -> bool:
    return any(point.group is group for point in curve.points)


def _point(group: Group) -> Point | None:
    """A group's point; None if it has none."""
    lmbda, best = group.settings.get(LMBDA), [run.best for run in group.finished]
    known = [validation for validation in best if validation is not None]
    bpp = _mean([validation.bpp for validation in known])
    if not isinstance(lmbda, int | float) or bpp is None:
        return None
    psnr, ms_ssim = _mean([v.psnr for v in known]), _mean([v.ms_ssim for v in known])
    return Point(float(lmbda), group, bpp, psnr, ms_ssim, len(known))


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values; None if one is missing or there is none."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None
