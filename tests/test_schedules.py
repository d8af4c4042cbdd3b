"""The cutoff's schedules: ends, order, values, errors."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import inspect
import itertools
import math
import random
from collections.abc import Callable, Iterator

import pytest

from hpcm_spectral.schedules import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    LinearSchedule,
    StepSchedule,
    TauSchedule,
)

RISING = (LinearSchedule, ExponentialSchedule, CosineSchedule, StepSchedule)
SCHEDULES = (*RISING, ConstantSchedule)
MakeSchedule = Callable[..., TauSchedule]


def parameter_sets() -> Iterator[tuple[float, float, int]]:
    """Corner cases, awkward decimals and many drawn at random."""
    yield from itertools.product((0.05, 0.1, 0.3, 1 / 3), (1 / 3, 0.7, 1.0, 1.4, 2.0), (1, 2, 3, 7, 100))
    yield from ((0.5, 0.5, 10), (2.0, 2.0, 1), (1e-6, 2.0, 13), (0.1 + 0.2, 0.30000000000000010, 5))
    draw = random.Random(0)
    for _ in range(100):
        low, high = sorted((draw.uniform(1e-3, 2), draw.uniform(1e-3, 2)))
        yield low, high, draw.randint(1, 300)


@pytest.mark.parametrize("granularity", ["epoch", "step"])
@pytest.mark.parametrize("make", SCHEDULES)
def test_exact_ends_and_never_falling(make: MakeSchedule, granularity: str) -> None:
    for tau_init, tau_final, num_epochs in parameter_sets():
        if tau_init > tau_final:
            continue
        tau = make(tau_init, tau_final, num_epochs, granularity=granularity)
        case = (tau_init, tau_final, num_epochs)

        values = [tau(num_epochs * i / 97) for i in range(98)]
        just_before = tau(math.nextafter(float(num_epochs), 0))

        assert values[0] == tau_init, case
        assert values[-1] == tau(num_epochs + 0.5) == tau(10.0 * num_epochs) == tau_final, case
        assert all(a <= b for a, b in itertools.pairwise([*values[:-1], just_before, tau_final])), case


@pytest.mark.parametrize(
    ("schedule", "quarters"),
    [
        (LinearSchedule(0.2, 1.0, 8), (0.4, 0.6, 0.8)),
        (LinearSchedule(), (0.2875, 0.525, 0.7625)),
        # Ratio 16, so that a quarter of the way doubles it.
        (ExponentialSchedule(0.0625, 1.0, 8), (0.125, 0.25, 0.5)),
        (ExponentialSchedule(0.0625, 1.0), (0.125, 0.25, 0.5)),
        # (1 - cos(pi / 4)) / 2 = 0.146447
        (CosineSchedule(0.2, 1.2, 8), (0.346447, 0.7, 1.053553)),
        # Five levels 0.2, 0.4 .. 1.0, each a fifth of the time: quarters fall into the 2nd, 3rd and 4th.
        (StepSchedule(0.2, 1.0, 8), (0.4, 0.6, 0.8)),
        # Two levels: a jump half-way.
        (StepSchedule(0.2, 1.0, 8, num_levels=2), (0.2, 1.0, 1.0)),
        (ConstantSchedule(0.2, 1.0, 8), (0.2, 0.2, 0.2)),
    ],
)
def test_values_at_the_quarters(schedule: TauSchedule, quarters: tuple[float, float, float]) -> None:
    values = [schedule(schedule.num_epochs * share) for share in (0.25, 0.5, 0.75)]

    assert values == pytest.approx(quarters, abs=1e-6)


def test_step_schedule_holds_each_level_for_an_equal_time() -> None:
    tau = StepSchedule(0.1, 0.4, 12, num_levels=4)

    values = [tau(float(epoch)) for epoch in range(12)]

    assert values == pytest.approx([0.1] * 3 + [0.2] * 3 + [0.3] * 3 + [0.4] * 3)


def test_constant_schedule_jumps_at_the_end() -> None:
    tau = ConstantSchedule(0.3, 1.0, 5, granularity="step")

    assert tau(4.999) == 0.3
    assert tau(5.0) == 1.0


def test_by_epoch_tau_changes_between_epochs_only() -> None:
    tau = LinearSchedule(0.1, 1.1, 10)

    assert tau(3.0) == tau(3.25) == tau(3.999) == pytest.approx(0.4)
    assert tau(0.999) == 0.1
    assert tau(9.999) == pytest.approx(1.0), "the last epoch is not yet at tau_final"


def test_by_step_tau_follows_every_step() -> None:
    tau = LinearSchedule(0.1, 1.1, 10, granularity="step")

    assert [tau(3.0), tau(3.25), tau(3.75)] == pytest.approx([0.4, 0.425, 0.475])


def test_defaults_are_the_papers() -> None:
    tau = LinearSchedule()

    assert (tau.tau_init, tau.tau_final, tau.num_epochs, tau.granularity) == (0.05, 1.0, 100, "epoch")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 10), "tau_init must lie above 0 and at most at 2, got 0.0."),
        ((-0.1, 1.0, 10), "tau_init must lie above 0 and at most at 2, got -0.1."),
        ((2.1, 1.0, 10), "tau_init must lie above 0 and at most at 2, got 2.1."),
        ((math.nan, 1.0, 10), "tau_init must lie above 0 and at most at 2, got nan."),
        ((0.1, 0.0, 10), "tau_final must lie above 0 and at most at 2, got 0.0."),
        ((0.1, 2.5, 10), "tau_final must lie above 0 and at most at 2, got 2.5."),
        ((0.1, math.inf, 10), "tau_final must lie above 0 and at most at 2, got inf."),
        ((0.5, 0.4, 10), "tau_init must not exceed tau_final (0.4), got 0.5; the band only opens."),
        ((0.1, 1.0, 0), "num_epochs must be at least 1, got 0; phase1=off trains without phase 1."),
        ((0.1, 1.0, -3), "num_epochs must be at least 1, got -3; phase1=off trains without phase 1."),
    ],
)
@pytest.mark.parametrize("make", SCHEDULES)
def test_values_outside_their_range(make: MakeSchedule, arguments: tuple[float, float, int], message: str) -> None:
    with pytest.raises(ValueError, match=".") as error:
        make(*arguments)

    assert str(error.value) == message


def test_unknown_granularity() -> None:
    # Unwrapped: the test run's type checker would refuse the word before the schedule does.
    build = inspect.unwrap(TauSchedule.__init__)

    with pytest.raises(ValueError, match=r"^granularity must be epoch or step, got 'batch'\.$"):
        build(LinearSchedule.__new__(LinearSchedule), granularity="batch")


@pytest.mark.parametrize("num_levels", [1, 0, -2])
def test_step_schedule_needs_two_levels(num_levels: int) -> None:
    with pytest.raises(ValueError, match=rf"^num_levels must be at least 2, got {num_levels}; schedule=constant"):
        StepSchedule(num_levels=num_levels)


@pytest.mark.parametrize("make", SCHEDULES)
@pytest.mark.parametrize("progress", [-0.001, -1.0, math.nan, -math.inf])
def test_progress_must_be_a_number_from_zero_on(make: MakeSchedule, progress: float) -> None:
    with pytest.raises(ValueError, match="progress must be a number of epochs from 0 on, got"):
        make()(progress)
