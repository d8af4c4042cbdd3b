"""The Bjøntegaard delta rate: how much more a codec spends than another at equal quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from bjontegaard import bd_rate as bjontegaard_bd_rate
from jaxtyping import Float

# Bjøntegaard's cubic has four coefficients; the interpolations that followed it kept the four points.
MIN_POINTS = 4
MIN_SHARE, MIN_REFERENCE_SHARE = 0.75, 0.25

Method = Literal["pchip", "akima", "cubic"]
Values = Sequence[float] | Float[np.ndarray, "..."]


@dataclass(frozen=True)
class BDRate:
    """A BD-rate and the qualities it was taken over.

    Attributes:
        percent: Mean difference of rate at equal quality; below 0 where the codec spends less than the reference.
        low: Lower end of the qualities that both curves reach, in their unit.
        high: Upper end.
        share: How much of the codec's range of qualities lies between them, 0 to 1.
        reference_share: How much of the reference's.
    """

    percent: float
    low: float
    high: float
    share: float
    reference_share: float

    @property
    def covers_little(self) -> bool:
        """Whether large parts of a curve do not count."""
        return self.share < MIN_SHARE or self.reference_share < MIN_REFERENCE_SHARE


def bd_rate(
    rate: Values, quality: Values, reference_rate: Values, reference_quality: Values, *, method: Method = "pchip"
) -> BDRate:
    """Mean difference of the logarithms of two curves' rates over the qualities that both reach, in percent.

    Args:
        rate: Rates of the codec, above 0, in any unit and order.
        quality: Their qualities, such as PSNR in dB.
        reference_rate: Rates of the reference, in the same unit.
        reference_quality: Their qualities.
        method: How ``log10(rate)`` is interpolated between the points.

    Raises:
        ValueError: A curve has fewer than 4 points or one without a rate, quality does not rise with rate, or no
            quality is reached by both; the message is one sentence.

    Example:
        >>> round(bd_rate([1.1, 2.2, 4.4, 8.8], [30, 32, 34, 36], [1, 2, 4, 8], [30, 32, 34, 36]).percent, 6)
        10.0
    """
    rates, qualities = _rising(rate, quality, "this curve")
    anchor_rates, anchor_qualities = _rising(reference_rate, reference_quality, "the reference")
    low, high = max(qualities[0], anchor_qualities[0]), min(qualities[-1], anchor_qualities[-1])
    if low >= high:
        raise ValueError(
            f"no quality is reached by both: this curve spans {qualities[0]:.2f} to {qualities[-1]:.2f}, the reference "
            f"{anchor_qualities[0]:.2f} to {anchor_qualities[-1]:.2f}"
        )
    percent = bjontegaard_bd_rate(
        anchor_rates,
        anchor_qualities,
        rates,
        qualities,
        method=method,
        require_matching_points=False,
        min_overlap=0,  # its warning counts the reference's whole range; see BDRate.covers_little
    )
    return BDRate(
        percent=float(percent),
        low=float(low),
        high=float(high),
        share=float((high - low) / (qualities[-1] - qualities[0])),
        reference_share=float((high - low) / (anchor_qualities[-1] - anchor_qualities[0])),
    )


def _rising(rate: Values, quality: Values, whose: str) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """The points of a curve in the order of their rates."""
    rates, qualities = np.asarray(rate, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if rates.shape != qualities.shape:
        raise ValueError(f"BD-rate needs a quality for every rate, but {whose} has {len(rates)} and {len(qualities)}")
    if len(rates) < MIN_POINTS:
        raise ValueError(f"BD-rate needs at least {MIN_POINTS} points, but {whose} has {len(rates)}")
    if not (np.isfinite(rates).all() and np.isfinite(qualities).all() and (rates > 0).all()):
        raise ValueError(f"BD-rate needs finite qualities and rates above 0, but {whose} has others")
    order = np.argsort(rates, kind="stable")
    rates, qualities = rates[order], qualities[order]
    if not ((np.diff(rates) > 0).all() and (np.diff(qualities) > 0).all()):
        raise ValueError(f"BD-rate needs a quality that rises with the rate, but that of {whose} does not")
    return rates, qualities
