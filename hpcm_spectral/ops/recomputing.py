"""Computing again in the backward pass what would have to be kept for it."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def recomputed(part: Callable[..., torch.Tensor], *inputs: Any, when: bool = True) -> torch.Tensor:
    """``part(*inputs)``, of which nothing but the inputs is kept for the backward pass; it must not use chance.

    Args:
        part: What computes.
        inputs: Its arguments.
        when: False keeps all, as usual.
    """
    if not when or not torch.is_grad_enabled():
        return part(*inputs)
    return checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False)
