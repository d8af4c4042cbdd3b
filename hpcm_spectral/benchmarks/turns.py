"""Times of things that take turns, so that a change of the machine's load meets all."""

import time
from collections.abc import Callable, Mapping

import torch

from hpcm_spectral.ops.devices import synchronize


def seconds_in_turns(
    calls: Mapping[str, Callable[[], object]], device: torch.device, repeats: int
) -> dict[str, tuple[float, ...]]:
    """Time calls round by round.

    Args:
        calls: What to time, by name.
        device: Where they compute.
        repeats: Rounds, at least 1, after one that is not timed.

    Returns:
        Seconds per round, by name.

    Raises:
        ValueError: ``repeats`` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}.")
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            synchronize(device)
            start = time.perf_counter()
            call()
            synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: tuple(times[1:]) for name, times in seconds.items()}
