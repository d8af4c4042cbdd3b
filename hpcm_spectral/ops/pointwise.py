"""1x1 convolutions of training on a CPU, as the matrix products that they are.

On channels_last data a 1x1 convolution is a product of a matrix with a row per position. oneDNN computes it with bias,
activation and sum in one pass; the backward pass takes rows in tiles that stay in the cache, so that what lies between
two products is never written out whole. Second derivatives there are none; modules within a block are not called.

Letters: N positions of all images, C and D channels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch.autograd.function import once_differentiable

Rows = Float[torch.Tensor, "N C"]
# A tile has so many values, what a core's caches hold, or so many rows at least.
TILE_VALUES, TILE_ROWS = 3 * 2**18, 2048
# Below so many multiplications a convolution of PyTorch's is as fast, and its bookkeeping shorter.
LEAST = 3e7
_casts: ContextVar[dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] | None] = ContextVar("casts", default=None)


def fast(x: Float[torch.Tensor, "B C h w"], conv: torch.nn.Conv2d, least: float | None = None) -> bool:
    """Whether a 1x1 convolution that is being trained is to be taken as a product.

    In evaluation it never is: encoder and decoder, of older files too, must go on computing the same priors. Nor is it
    while torch.compile looks on, which fuses plain operations itself.

    Args:
        x: Its input.
        conv: The convolution.
        least: Multiplications from which on it pays; None: those of a single convolution.
    """
    # First what tells most layers of a small codec, of which there are hundreds.
    if not conv.training or x.numel() * conv.out_channels < (LEAST if least is None else least):
        return False
    wanted = torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return wanted and x.device.type == "cpu" and _dtype(x) in _dtypes()


def rows_of(x: Float[torch.Tensor, "B C h w"]) -> Rows:
    """A view of channels_last features with a row per position."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def features_of(rows: Rows, like: Float[torch.Tensor, "B _ h w"]) -> Float[torch.Tensor, "B C h w"]:
    """The inverse of :func:`rows_of` for features of the batch and sides of ``like``."""
    batch, _, height, width = like.shape
    return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)


@contextmanager
def shared_casts() -> Iterator[None]:
    """Within it, a weight that is used several times under autocast is cast once, as autocast's own operations do."""
    token = _casts.set({})
    try:
        yield
    finally:
        _casts.reset(token)


def cast(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Tensors in the precision of autocast, where that is on; with gradient."""
    return [_cast(tensor, _dtype(tensor)) for tensor in tensors]


class PointwiseConv2d(torch.nn.Conv2d):
    """A 1x1 convolution, taken as a product where :func:`fast` allows."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Float[torch.Tensor, "B C h w"]) -> Float[torch.Tensor, "B D h w"]:
        """Channels_last where it is a product."""
        if self.bias is None or not fast(x, self):
            return super().forward(x)
        return _Pointwise.apply(*cast(channels_last(x), self.weight, self.bias))


def product(
    rows: Rows,
    weight: Float[torch.Tensor, "D C"],
    bias: Float[torch.Tensor, " D"] | None = None,
    slope: float | None = None,
    add: Float[torch.Tensor, "N D"] | None = None,
) -> Float[torch.Tensor, "N D"]:
    """``rows @ weight.T + bias``, then LeakyReLU of a slope or ``+ add``, in one pass."""
    if add is not None:
        return torch.ops.mkldnn._linear_pointwise.binary(rows, add, weight, bias, "add")
    kind: Literal["leaky_relu", "none"] = "none" if slope is None else "leaky_relu"
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, kind, [] if slope is None else [slope], "")


def input_gradient(grad: Float[torch.Tensor, "N D"], weight: Float[torch.Tensor, "D C"]) -> Rows:
    """What reaches the rows."""
    return product(grad, weight.t()) if grad.dtype == torch.float32 else grad @ weight


def put_input_gradient(out: Rows, grad: Float[torch.Tensor, "N D"], weight: Float[torch.Tensor, "D C"]) -> None:
    """The same into a tile of rows."""
    if grad.dtype == torch.float32:
        out.copy_(product(grad, weight.t()))
    else:
        torch.mm(grad, weight, out=out)


class WeightGradients:
    """Gradients of weight and bias, summed over tiles of rows."""

    def __init__(self) -> None:
        self.weight: torch.Tensor | None = None
        self.bias: torch.Tensor | None = None

    def add(self, grad: Float[torch.Tensor, "N D"], rows: Rows) -> None:
        """Take in a tile."""
        weight, bias = grad.t() @ rows, grad.sum(0).float()
        if self.weight is None or self.bias is None:
            self.weight, self.bias = weight, bias
        else:
            # Of several tiles the sums are float32, as they are within one.
            self.weight = self.weight.float().add_(weight)
            self.bias.add_(bias)

    def of(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both, the weight's in its shape."""
        assert self.weight is not None
        assert self.bias is not None
        return self.weight.to(weight.dtype).view_as(weight), self.bias.to(weight.dtype)


def tiles(rows: Rows) -> Iterator[slice]:
    """The rows' numbers in tiles; few left over at the end join the last one."""
    count, size = len(rows), max(TILE_ROWS, TILE_VALUES // rows.shape[1])
    starts = list(range(0, max(1, count - size // 2), size))
    for start, end in zip(starts, [*starts[1:], count], strict=True):
        yield slice(start, end)


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return features_of(product(rows_of(x), weight.flatten(1), bias), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad, gradients = rows_of(channels_last(grads[0])), WeightGradients()
        gradients.add(grad, rows_of(x))
        of_x = features_of(input_gradient(grad, weight.flatten(1)), x) if ctx.needs_input_grad[0] else None
        return of_x, *gradients.of(weight)


def in_format_of(like: Float[torch.Tensor, "B _ h w"], x: Float[torch.Tensor, "B C h w"]) -> torch.Tensor:
    """``x`` in the memory format that ``like`` is in."""
    is_last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    return channels_last(x) if is_last else x


def channels_last(x: Float[torch.Tensor, "B C h w"]) -> Float[torch.Tensor, "B C h w"]:
    """In the format whose rows are a view."""
    return x.contiguous(memory_format=torch.channels_last)


def _dtype(x: torch.Tensor) -> torch.dtype:
    on = torch.is_autocast_enabled(x.device.type) and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
    return torch.get_autocast_dtype(x.device.type) if on else x.dtype


def _dtypes() -> tuple[torch.dtype, ...]:
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return ()
    return (torch.float32, torch.bfloat16) if _has_bfloat16() else (torch.float32,)


@cache
def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    kept = _casts.get()
    if x.dtype == dtype or kept is None or not isinstance(x, torch.nn.Parameter):
        return x.to(dtype)
    key = (id(x), x._version)
    if key not in kept:
        # Kept with the original, whose number could be another's otherwise.
        kept[key] = (x, x.to(dtype))
    return kept[key][1]
