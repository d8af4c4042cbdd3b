"""BD-rate against curves whose answer is known, and against an integration of its own."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

from hpcm_spectral.metrics.bd_rate import bd_rate

# HPCM-Base and VTM on Kodak as published: six and eight points, of which VTM's reach far beyond HPCM's.
HPCM = ([0.1211, 0.1757, 0.2729, 0.4125, 0.5898, 0.8209], [29.4022, 30.7547, 32.4012, 34.2063, 36.0145, 37.7525])
VTM = (
    [0.04824490, 0.11249542, 0.24581655, 0.49054548, 0.87481011, 1.43084971, 2.32460700, 3.63260905],
    [26.14484539, 28.49302175, 31.19987372, 34.26153257, 37.41979316, 40.42444422, 43.50576697, 46.59176009],
)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.25, 3.0])
@pytest.mark.parametrize("method", ["pchip", "akima", "cubic"])
def test_a_curve_at_another_rate_by_a_known_factor_has_that_bd_rate(factor: float, method: str) -> None:
    rate, quality = HPCM
    found = bd_rate([factor * r for r in rate], quality, rate, quality, method=method)
    assert found.percent == pytest.approx(100 * (factor - 1), abs=1e-9)
    assert (found.low, found.high, found.share, found.reference_share) == (29.4022, 37.7525, 1.0, 1.0)


@pytest.mark.parametrize(("method", "interpolate"), [("pchip", PchipInterpolator), ("akima", Akima1DInterpolator)])
def test_bd_rate_is_the_mean_log_rate_difference_over_the_common_qualities(method: str, interpolate: type) -> None:
    own, anchor = (interpolate(quality, np.log(rate)) for rate, quality in (HPCM, VTM))
    low, high = 29.4022, 37.7525
    knots = [q for q in HPCM[1] + VTM[1] if low < q < high]
    area, _ = quad(lambda q: own(q) - anchor(q), low, high, points=sorted(knots), epsabs=1e-10)
    expected = 100 * (np.exp(area / (high - low)) - 1)
    found = bd_rate(*HPCM, *VTM, method=method)
    assert found.percent == pytest.approx(expected, abs=1e-6)
    assert found.percent < -10  # HPCM-Base is the better one
    assert (found.low, found.high, found.share) == (low, high, 1.0)
    assert found.reference_share == pytest.approx((high - low) / (46.59176009 - 26.14484539))
    assert not found.covers_little


def test_only_the_common_qualities_count() -> None:
    """Above 34 dB this curve is ten times the reference's rate, but the reference ends there."""
    quality, rate = [30, 31, 32, 33, 34], [1, 2, 3, 4, 5]
    beyond = bd_rate([1.2, 2.4, 3.6, 4.8, 6.0, 70.0], [*quality, 36], rate, quality, method="akima")
    assert (beyond.low, beyond.high) == (30, 34)
    assert beyond.share == pytest.approx(4 / 6)
    assert beyond.covers_little


def test_the_order_of_the_points_does_not_matter() -> None:
    rate, quality = (list(reversed(values)) for values in HPCM)
    shuffled = bd_rate([rate[i] for i in (2, 0, 5, 3, 1, 4)], [quality[i] for i in (2, 0, 5, 3, 1, 4)], *VTM)
    assert shuffled == bd_rate(*HPCM, *VTM)


@pytest.mark.parametrize(
    ("curve", "sentence"),
    [
        (([0.1], [30]), "BD-rate needs at least 4 points, but this curve has 1"),
        (([0.1, 0.2, 0.3], [30, 31, 32]), "at least 4 points, but this curve has 3"),
        (
            ([0.1, 0.2, 0.3, 0.4], [20, 21, 22, 23]),
            "no quality is reached by both: this curve spans 20.00 to 23.00, the reference 26.14 to 46.59",
        ),
        (([0.1, 0.2, 0.3, 0.4], [30, 32, 31, 33]), "a quality that rises with the rate, but that of this curve does"),
        (([0.1, 0.2, 0.2, 0.4], [30, 31, 32, 33]), "a quality that rises with the rate"),
        (([0.1, 0.2, 0.3, 0.4], [30, 31, 32, float("inf")]), "finite qualities"),
        (([0.0, 0.2, 0.3, 0.4], [30, 31, 32, 33]), "rates above 0"),
        (([0.1, 0.2, 0.3, 0.4], [30, 31, 32]), "a quality for every rate, but this curve has 4 and 3"),
    ],
)
def test_curves_without_a_bd_rate_are_refused_with_the_reason(
    curve: tuple[list[float], list[float]], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        bd_rate(*curve, *VTM)
