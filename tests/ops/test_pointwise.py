"""Blocks of training on a CPU against themselves in float64, where they are plain convolutions."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import copy

import pytest
import torch
from torch import nn

from hpcm_spectral.models.dhic import blocks
from hpcm_spectral.models.dhic.blocks import FFN, Block
from hpcm_spectral.models.hpcm.attention import WindowCrossAttention
from hpcm_spectral.models.hpcm.layers import DWConvRB, PConvRB
from hpcm_spectral.ops import pointwise
from hpcm_spectral.ops.pointwise import PointwiseConv2d, tiles

BLOCKS = {
    "1x1": lambda: PointwiseConv2d(8, 12),
    "partial": lambda: PConvRB(8),
    "depthwise": lambda: DWConvRB(8),
    "ffn": lambda: FFN(8, 12),
    "dhic": lambda: Block(8, 16, 12),
}


@pytest.fixture(autouse=True)
def small_products_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointwise, "LEAST", 0)
    monkeypatch.setattr(blocks, "LEAST_FFN", 0)
    monkeypatch.setattr(pointwise, "TILE_VALUES", 1)


CAN_BF16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()


def gradients(block: nn.Module, x: torch.Tensor, towards: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    out = block(x)
    (out * towards).sum().backward()
    assert x.grad is not None
    return [out.detach(), x.grad, *(p.grad for p in block.parameters() if p.grad is not None)]


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("side", [4, 50])  # one tile of rows, and several
def test_values_and_gradients_are_those_of_convolutions(name: str, side: int) -> None:
    torch.manual_seed(0)
    block = BLOCKS[name]().train()
    x = torch.randn(2, 8, side, side).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        towards = torch.randn_like(block(x))
    found = gradients(block, x, towards)
    exact = gradients(copy.deepcopy(block).double(), x.double(), towards.double())
    assert len(found) == len(exact) == 2 + len(list(block.parameters()))
    for own, reference in zip(found, exact, strict=True):
        assert own.dtype == torch.float32
        assert (own - reference).norm() <= 2e-6 * reference.norm()


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.skipif(not CAN_BF16, reason="this CPU computes no bfloat16")
def test_autocast_computes_in_bfloat16_with_gradients_of_the_weights_own_precision(name: str) -> None:
    torch.manual_seed(0)
    block = BLOCKS[name]().train()
    x = torch.randn(2, 8, 16, 16)
    with torch.no_grad():
        towards = torch.randn_like(block(x))
    exact = gradients(copy.deepcopy(block).double(), x.double(), towards.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradients(block, x, towards)
    assert [p.grad.dtype for p in block.parameters() if p.grad is not None] == [torch.float32] * (len(found) - 2)
    for own, reference in zip(found, exact, strict=True):
        assert 1e-5 < (own - reference).norm() / reference.norm() < 0.1


def test_a_weight_used_twice_gets_both_gradients() -> None:
    torch.manual_seed(0)
    conv = PointwiseConv2d(6, 6).train()
    x = torch.randn(1, 6, 5, 5)
    twice = nn.Sequential(conv, conv)
    exact = gradients(copy.deepcopy(twice).double(), x.double(), torch.ones(1, 6, 5, 5).double())
    for own, reference in zip(gradients(twice, x, torch.ones(1, 6, 5, 5)), exact, strict=True):
        assert torch.allclose(own, reference.float(), rtol=1e-5, atol=1e-5)


def test_cross_attention_in_either_memory_format() -> None:
    torch.manual_seed(0)
    attention = WindowCrossAttention(40, 4).train()
    query, memory = torch.randn(2, 2, 40, 8, 8)
    exact = copy.deepcopy(attention).double()(query.double(), memory.double())
    for form in (torch.contiguous_format, torch.channels_last):
        out = attention(query.contiguous(memory_format=form), memory.contiguous(memory_format=form))
        assert (out - exact).norm() <= 2e-6 * exact.norm()


@pytest.mark.parametrize("count", [1, 2047, 2048, 2049, 5120, 6144])
def test_tiles_cover_every_row_once(count: int) -> None:
    rows = [row for tile in tiles(torch.zeros(count, 1)) for row in range(count)[tile]]
    assert rows == list(range(count))
