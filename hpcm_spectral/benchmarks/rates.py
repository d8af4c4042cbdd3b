"""Floating-point operations: what a call takes of them, and how many per second matrix products reach."""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from hpcm_spectral.benchmarks.turns import seconds_in_turns

MATRIX_SIZE = 2048
# A backward pass takes two products for each of the forward one: by the weights, and by the input.
STEP_PER_FORWARD = 3


def matrix_operations(size: int = MATRIX_SIZE) -> int:
    """Operations of a product of two square matrices."""
    return 2 * size**3


def matrix_product(
    dtype: torch.dtype, device: torch.device, size: int = MATRIX_SIZE, *, tf32: bool = False
) -> Callable[[], object]:
    """A product of two square matrices as a call.

    Args:
        dtype: Of the matrices.
        device: Where they are multiplied.
        size: Their height and width.
        tf32: Whether a GPU may round float32 as convolutions do there by default.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator).to(device, dtype) for _ in range(2))

    def product() -> None:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        try:
            torch.mm(a, b)
        finally:
            torch.set_float32_matmul_precision(before)

    return product


def matrix_rate(dtype: torch.dtype, device: torch.device, size: int = MATRIX_SIZE, repeats: int = 5) -> float:
    """Operations per second that products of square matrices reach, by the median of ``repeats`` calls."""
    times = seconds_in_turns({"product": matrix_product(dtype, device, size)}, device, repeats)["product"]
    return matrix_operations(size) / statistics.median(times)


def count_operations(call: Callable[[], object]) -> int:
    """Operations of convolutions, matrix products and attentions within a call; a multiplication and an addition are 2.

    Nothing else is counted: values one by one are limited by memory. The call takes no gradients, as PyTorch's counts
    of a backward pass are too high for grouped convolutions; a training step is :data:`STEP_PER_FORWARD` times its
    forward pass, less what little the first layer saves by passing no gradient on to the images.
    """
    counter = _Counter()
    with torch.no_grad(), counter:
        call()
    return counter.operations


class _Counter(TorchDispatchMode):
    """PyTorch's counts by operator; its ``FlopCounterMode`` also follows modules, which fails within some codecs."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        count = flop_registry.get(func.overloadpacket)
        if count is None:
            with self:  # in inference mode nothing else shows what an operator is made of
                out = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if out is NotImplemented else out
        out = func(*args, **kwargs)
        self.operations += count(*args, **kwargs, out_val=out)
        return out
