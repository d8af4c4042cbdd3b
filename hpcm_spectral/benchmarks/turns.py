"""Times of things that take turns, so that a change of the machine's load meets all."""

import logging
import time
from collections.abc import Callable, Mapping

import torch

log = logging.getLogger("hpcm_spectral")
Calls = Mapping[str, Callable[[], object]]


def seconds_in_turns(calls: Calls, device: torch.device, repeats: int) -> dict[str, tuple[float, ...]]:
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
    rounds = rounds_in_turns(calls, device, repeats + 1)
    return {name: times[1:] for name, times in rounds.items()}


def rounds_in_turns(
    calls: Calls, device: torch.device, rounds: int, *, announce: bool = False
) -> dict[str, tuple[float, ...]]:
    """Seconds per round of each call, those of the first one, which warms up, included.

    A GPU takes the times itself and is waited for once, at the end, so that its queue never runs empty because of them.

    Args:
        calls: What to time, by name.
        device: Where they compute.
        rounds: How many.
        announce: Whether to log the beginning of each.
    """
    clocks: dict[str, list[Callable[[], float]]] = {name: [] for name in calls}
    timed = _timed_on_gpu if device.type == "cuda" else _timed_on_cpu
    for number in range(rounds):
        if announce:
            log.info("round %d of %d%s", number + 1, rounds, "" if number else ", which warms up")
        for name, call in calls.items():
            clocks[name].append(timed(call))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return {name: tuple(clock() for clock in own) for name, own in clocks.items()}


def _timed_on_cpu(call: Callable[[], object]) -> Callable[[], float]:
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    return lambda: seconds


def _timed_on_gpu(call: Callable[[], object]) -> Callable[[], float]:
    """Seconds between the two events, to be asked for once the device has passed them."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    return lambda: start.elapsed_time(end) / 1e3
