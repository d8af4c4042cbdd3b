"""The benchmark of the truncation: that it measures two forms of the same thing. Its figures are not asserted."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import dataclasses

import pytest

from hpcm_spectral.benchmarks.dct import TAU_VALUES, DctBenchmark, truncation_cost
import itertools


@pytest.fixture(scope="module")
def result() -> DctBenchmark:
    return truncation_cost(batch=2, size=24, tau_values=(0.05, 0.5, 1.0), repeats=2)


def test_both_forms_compute_the_same_images(result: DctBenchmark) -> None:
    assert 0 < result.largest_difference < 2e-6


def test_one_time_of_each_form_per_cutoff(result: DctBenchmark) -> None:
    assert result.tau_values == (0.05, 0.5, 1.0)
    assert len(result.truncation_seconds) == len(result.dense_seconds) == len(result.ratios) == 3
    assert min(result.truncation_seconds + result.dense_seconds) > 0


def test_ratios() -> None:
    result = DctBenchmark(1, 8, "cpu", (0.5, 1.0), (1.0, 3.0), (4.0, 2.0), 0.0)

    assert result.ratios == (0.25, 1.5)
    assert result.mean_ratio == 0.875
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.batch = 2  # type: ignore[misc]


def test_table() -> None:
    lines = DctBenchmark(1, 8, "cpu", (0.5, 1.0), (1e-3, 3e-3), (4e-3, 2e-3), 0.0).table().splitlines()

    assert lines[0] == "DCT truncation of 1x3x8x8 on cpu, medians in ms"
    assert [line.split() for line in lines[2:]] == [
        ["0.500", "1.000", "4.000", "0.25"],
        ["1.000", "3.000", "2.000", "1.50"],
        ["mean", "2.000", "3.000", "0.88"],
    ]


def test_default_cutoffs_are_the_papers_schedule() -> None:
    assert len(TAU_VALUES) == 20
    assert (TAU_VALUES[0], TAU_VALUES[-1]) == (0.05, 1.0)
    assert all(b - a == pytest.approx(0.05) for a, b in itertools.pairwise(TAU_VALUES))


def test_errors() -> None:
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        truncation_cost(batch=1, size=8, repeats=0)
    with pytest.raises(ValueError, match="tau_values must hold at least one cutoff"):
        truncation_cost(batch=1, size=8, tau_values=())
