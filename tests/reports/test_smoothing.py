import numpy as np
import pandas as pd
import pytest

from hpcm_spectral.reports.lines import smoothed, smoothing_window, thinned


def test_smoothed_by_hand():
    values = pd.Series([10.0, 0.0, 2.0, 4.0, 9.0, 5.0])
    # Ends have fewer neighbours: 12 / 3, 16 / 4, 25 / 5, 20 / 5, 20 / 4, 18 / 3.
    assert smoothed(values, 5).tolist() == pytest.approx([4.0, 4.0, 5.0, 4.0, 5.0, 6.0])
    assert smoothed(values, 1).tolist() == pytest.approx(values.tolist())


def test_a_huge_value_does_not_spoil_the_means_after_it():
    values = pd.Series([0.5, -3e38, 0.5, 0.25, 0.75])
    means = smoothed(values, 3)
    assert means.iloc[3:].tolist() == [0.5, 0.5]
    assert means.iloc[:3].tolist() == pytest.approx([-1.5e38, -1e38, -1e38])


@pytest.mark.parametrize(
    ("points", "window"), [(0, 1), (2, 1), (29, 1), (30, 3), (100, 3), (400, 9), (1000, 21), (200_000, 1001)]
)
def test_window_is_odd_a_fiftieth_and_bounded(points, window):
    assert smoothing_window(points) == window


def test_thinning_keeps_ends_and_spikes():
    x = np.arange(100_000.0)
    y = np.sin(x)
    y[54_321] = 50.0
    y[12_345] = -50.0
    few = thinned(pd.Series(y, index=x), 1000)
    few_x, few_y = few.index.to_numpy(), few.to_numpy()
    assert len(few_x) <= 1002
    assert (few_x[0], few_x[-1]) == (0, 99_999)
    assert dict(zip(few_x, few_y, strict=True))[54_321] == 50.0
    assert few_y.min() == -50.0
    assert (np.diff(few_x) > 0).all()


def test_short_series_stay_whole():
    series = pd.Series(np.arange(10.0))
    assert thinned(series, 10) is series
