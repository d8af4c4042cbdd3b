"""Residual blocks of training on a CPU as single steps of automatic differentiation; see :mod:`.pointwise`."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch.autograd.function import once_differentiable

from hpcm_spectral.ops.pointwise import (
    WeightGradients,
    channels_last,
    features_of,
    input_gradient,
    product,
    put_input_gradient,
    rows_of,
    tiles,
)

Features = Float[torch.Tensor, "B C h w"]


class _ExpandContract(torch.autograd.Function):
    """``x + contract(leaky_relu(expand(mixed)))``, of 1x1 convolutions' weights and biases.

    Kept for the backward pass are the inputs and the activation's output, whose sign tells its slope.
    """

    @staticmethod
    def forward(ctx: Any, x: Features, mixed: Features, slope: float, *weights: torch.Tensor) -> Features:
        out, hidden = _expand_contract(rows_of(x), rows_of(mixed), slope, weights)
        ctx.slope = slope
        ctx.save_for_backward(mixed, hidden, *weights)
        return features_of(out, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        mixed, hidden, *weights = ctx.saved_tensors
        grad = channels_last(grads[0])
        of_mixed, of_weights = _backward(rows_of(grad), rows_of(mixed), hidden, ctx.slope, weights)
        return grad, features_of(of_mixed, mixed), None, *of_weights


class _PartialBlock(torch.autograd.Function):
    """The same where ``mixed`` is ``x`` with a 3x3 convolution of its first channels."""

    @staticmethod
    def forward(
        ctx: Any, x: Features, kernel: torch.Tensor, offset: torch.Tensor, slope: float, *weights: torch.Tensor
    ) -> Features:
        part = len(kernel)
        mixed = torch.empty_like(x)
        mixed[:, part:] = x[:, part:]
        mixed[:, :part] = torch.conv2d(x[:, :part], kernel, offset, padding=1)
        out, hidden = _expand_contract(rows_of(x), rows_of(mixed), slope, weights)
        ctx.slope = slope
        ctx.save_for_backward(x[:, :part], mixed, hidden, kernel, *weights)
        return features_of(out, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        first, mixed, hidden, kernel, *weights = ctx.saved_tensors
        grad, part = channels_last(grads[0]), len(kernel)
        of_mixed, of_weights = _backward(rows_of(grad), rows_of(mixed), hidden, ctx.slope, weights)
        of_x = features_of(of_mixed, mixed)
        geometry = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
        of_first, of_kernel, of_offset = torch.ops.aten.convolution_backward(
            of_x[:, :part], first, kernel, [part], *geometry, [True, True, True]
        )
        of_x[:, :part] = of_first
        return of_x.add_(grad), of_kernel, of_offset, None, *of_weights


class _Steep(torch.autograd.Function):
    """``silu`` of a 1x1 convolution."""

    @staticmethod
    def forward(ctx: Any, x: Features, weight: torch.Tensor, bias: torch.Tensor) -> Float[torch.Tensor, "B D h w"]:
        inner = product(rows_of(x), weight.flatten(1), bias)
        ctx.save_for_backward(x, inner, weight)
        return features_of(F.silu(inner), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, inner, weight = ctx.saved_tensors
        grad, rows, of_weight = rows_of(channels_last(grads[0])), rows_of(x), WeightGradients()
        of_x = torch.empty_like(rows)
        for tile in tiles(inner):
            of_inner = torch.ops.aten.silu_backward(grad[tile], inner[tile])
            of_weight.add(of_inner, rows[tile])
            if ctx.needs_input_grad[0]:
                put_input_gradient(of_x[tile], of_inner, weight.flatten(1))
        return features_of(of_x, x) if ctx.needs_input_grad[0] else None, *of_weight.of(weight)


class _FoldedFFN(torch.autograd.Function):
    """``x + contract(a + b)``, where a and b are the halves of ``silu(expand(x))``."""

    @staticmethod
    def forward(ctx: Any, x: Features, *weights: torch.Tensor) -> Features:
        expand, expand_bias, contract, contract_bias = weights
        rows = rows_of(x)
        inner = product(rows, expand.flatten(1), expand_bias)
        hidden = contract.shape[1]
        folded = inner.new_empty(len(inner), hidden)
        for tile in tiles(inner):
            both = F.silu(inner[tile])
            torch.add(both[:, :hidden], both[:, hidden:], out=folded[tile])
        ctx.save_for_backward(x, inner, folded, *weights)
        return features_of(product(folded, contract.flatten(1), contract_bias, add=rows), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, inner, folded, expand, _, contract, _ = ctx.saved_tensors
        grad, rows, hidden = rows_of(channels_last(grads[0])), rows_of(x), contract.shape[1]
        of_x, of_expand, of_contract = torch.empty_like(rows), WeightGradients(), WeightGradients()
        for tile in tiles(inner):
            of_folded = input_gradient(grad[tile], contract.flatten(1))
            of_inner = torch.empty_like(inner[tile])
            for half in (slice(0, hidden), slice(hidden, None)):
                torch.ops.aten.silu_backward.grad_input(of_folded, inner[tile, half], grad_input=of_inner[:, half])
            torch.add(input_gradient(of_inner, expand.flatten(1)), grad[tile], out=of_x[tile])
            of_expand.add(of_inner, rows[tile])
            of_contract.add(grad[tile], folded[tile])
        return features_of(of_x, x), *of_expand.of(expand), *of_contract.of(contract)


def _expand_contract(
    x: torch.Tensor, mixed: torch.Tensor, slope: float, weights: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    expand, expand_bias, contract, contract_bias = weights
    hidden = product(mixed, expand.flatten(1), expand_bias, slope)
    return product(hidden, contract.flatten(1), contract_bias, add=x), hidden


def _backward(
    grad: torch.Tensor, mixed: torch.Tensor, hidden: torch.Tensor, slope: float, weights: list[torch.Tensor]
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Gradients of ``mixed`` and of the weights."""
    expand, _, contract, _ = weights
    of_mixed, of_expand, of_contract = torch.empty_like(mixed), WeightGradients(), WeightGradients()
    for tile in tiles(hidden):
        inner = input_gradient(grad[tile], contract.flatten(1))
        torch.ops.aten.leaky_relu_backward.grad_input(inner, hidden[tile], slope, True, grad_input=inner)
        put_input_gradient(of_mixed[tile], inner, expand.flatten(1))
        of_expand.add(inner, mixed[tile])
        of_contract.add(grad[tile], hidden[tile])
    return of_mixed, (*of_expand.of(expand), *of_contract.of(contract))


expand_contract = _ExpandContract.apply
partial_block = _PartialBlock.apply
steep = _Steep.apply
folded_ffn = _FoldedFFN.apply
