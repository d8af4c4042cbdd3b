"""Which device to compute on, waiting for it or not, and computing the same values twice on it."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from jaxtyping import Float

from hpcm_spectral.errors import ConfigError

Said = TypeVar("Said")


def check_device(name: str) -> torch.device:
    """The device that a program's ``device`` names.

    Raises:
        ConfigError: It is neither ``cpu`` nor ``cuda``, or there is no GPU.
    """
    if name != "cpu" and not (name == "cuda" and torch.cuda.is_available()):
        raise ConfigError(f"device must be cpu, or cuda where there is a GPU, got {name!r}.")
    return torch.device(name)


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Encoder and decoder must see the same priors: float32 throughout, and no choice of kernels by timing."""
    with (
        torch.autocast(device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield


@contextmanager
def transforms_in(dtype: torch.dtype, device: torch.device) -> Iterator[torch.memory_format]:
    """Compute a network outside the entropy path in bfloat16; with float32, as without.

    Yields:
        How inputs of the network lie best: convolutions in bfloat16 are much faster with the channels last.
    """
    if dtype != torch.bfloat16:
        yield torch.contiguous_format
        return
    with torch.autocast(device.type, dtype):
        yield torch.channels_last


def as_float32(x: torch.Tensor) -> torch.Tensor:
    """What such a network returned, as the entropy path takes it: the decoder's values lie the same way."""
    return x.to(torch.float32, memory_format=torch.contiguous_format)


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what an error says, on whatever device; PyTorch has no class of its own for it on a CPU."""
    said = re.search("(can't|cannot) allocate memory|not enough memory|out of memory", str(error), re.IGNORECASE)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and said is not None)


class LateReading(Generic[Said]):
    """Reads numbers without waiting for the device that computes them: those of one call at the next.

    By then the device is done with them, and busy with what came after. Numbers of the CPU are there at once.

    Args:
        lag: How many calls later; None: one, or none for numbers of the CPU.
    """

    def __init__(self, lag: int | None = None) -> None:
        self.lag = lag
        self._waiting: deque[tuple[torch.Tensor, torch.cuda.Event | None, Said]] = deque()

    def __call__(self, numbers: Float[torch.Tensor, " n"], said: Said) -> list[tuple[list[float], Said]]:
        """Hand in ``numbers`` with what belongs to them; what has become readable, oldest first."""
        event = None
        lag = int(numbers.is_cuda) if self.lag is None else self.lag
        if numbers.is_cuda:
            # Into pinned memory, as PyTorch does unasked.
            numbers, event = numbers.to("cpu", non_blocking=True), torch.cuda.Event()
            event.record()
        self._waiting.append((numbers, event, said))
        return self._read(lag)

    def rest(self) -> list[tuple[list[float], Said]]:
        """All that is still to be read."""
        return self._read(0)

    def _read(self, leave: int) -> list[tuple[list[float], Said]]:
        read = []
        while len(self._waiting) > leave:
            numbers, event, said = self._waiting.popleft()
            if event is not None:
                event.synchronize()
            read.append((numbers.tolist(), said))
        return read
