"""Pinned strings: what this version writes, later ones must read."""

import zlib
from pathlib import Path

import pytest
import torch

from hpcm_spectral.entropy import DecodingCoder, EncodingCoder, GeneralizedGaussianConditional, get_scale_table

GOLDEN = Path(__file__).parents[1] / "golden/symbols.rans"


@pytest.fixture(scope="module")
def entropy_model() -> GeneralizedGaussianConditional:
    model = GeneralizedGaussianConditional(get_scale_table())
    model.update()
    return model


@pytest.fixture(scope="module")
def symbols_and_scales() -> tuple[torch.Tensor, torch.Tensor]:
    """2000 symbols over all scales, from below the first table to beyond the last, five of them far outside."""
    i = torch.arange(2000)
    scales = 0.1 * 1.004**i
    symbols = (((i * 7919) % 23 - 11) * scales / 4).round()
    symbols[::400] = 3000
    return symbols[None, :, None, None], scales[None, :, None, None]


def test_the_pinned_string_is_written_again(
    entropy_model: GeneralizedGaussianConditional, symbols_and_scales: tuple[torch.Tensor, torch.Tensor]
) -> None:
    symbols, scales = symbols_and_scales
    coder = EncodingCoder(entropy_model)
    coder.code(symbols, scales, torch.zeros_like(symbols))
    assert coder.finish() == GOLDEN.read_bytes()


def test_the_pinned_string_is_read_with_any_mask(
    entropy_model: GeneralizedGaussianConditional, symbols_and_scales: tuple[torch.Tensor, torch.Tensor]
) -> None:
    symbols, scales = symbols_and_scales
    decoder = DecodingCoder(entropy_model, GOLDEN.read_bytes(), symbols.numel())
    # The same symbols, spread over twice as many positions of which every other one is in the padding.
    inside = torch.zeros(1, 4000, 1, 1, dtype=torch.bool)
    inside[:, ::2] = True
    spread = torch.ones(1, 4000, 1, 1)
    spread[:, ::2] = scales
    means = torch.full_like(spread, 0.25)
    decoded = decoder.code(None, spread, means, inside)
    assert torch.equal(decoded[:, ::2], symbols + 0.25)
    assert (decoded[:, 1::2] == 0.25).all()
    assert decoder.checksum == zlib.crc32(symbols.flatten().int().numpy().astype("<i4").tobytes())


def test_tables_that_change_are_those_that_code(
    symbols_and_scales: tuple[torch.Tensor, torch.Tensor], entropy_model: GeneralizedGaussianConditional
) -> None:
    symbols, scales = symbols_and_scales

    def written(model: GeneralizedGaussianConditional) -> bytes:
        coder = EncodingCoder(model)
        coder.code(symbols, scales, torch.zeros_like(symbols))
        return coder.finish()

    model = GeneralizedGaussianConditional([0.5, 20.0])
    model.update()
    coarse = written(model)
    assert coarse != GOLDEN.read_bytes()
    model.scale_table = torch.tensor(get_scale_table())
    model.update()
    assert written(model) == GOLDEN.read_bytes()
    # In place, too.
    few, tables = GeneralizedGaussianConditional([0.5, 20.0]), ("_quantized_cdf", "_cdf_length", "_offset")
    few.update()
    for name in tables:
        values = getattr(few, name)
        table = getattr(model, name)
        table[:2] = torch.nn.functional.pad(values, (0, table.shape[1] - values.shape[1])) if table.ndim > 1 else values
    model.scale_table = few.scale_table
    assert written(model) == coarse


def test_every_table_sums_to_16_bits_and_leaves_room_for_the_escape(
    entropy_model: GeneralizedGaussianConditional,
) -> None:
    for cdf, length in zip(entropy_model._quantized_cdf, entropy_model._cdf_length, strict=True):
        used = cdf[: int(length)]
        assert (used[0], used[-1]) == (0, 2**16)
        assert (used.diff() > 0).all()
