"""Computing the same values twice."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Encoder and decoder must see the same priors: float32 throughout, and no choice of kernels by timing.

    Args:
        device: Where the networks are.
    """
    with (
        torch.autocast(device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield
