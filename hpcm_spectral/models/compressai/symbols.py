"""A checksum over the symbols that CompressAI's entropy models write and read."""

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from compressai.entropy_models import EntropyModel

from hpcm_spectral.errors import CodingError

# Up to here float32 holds every whole number.
LARGEST = 2**24


class SymbolChecksum:
    """While it is open, listens to entropy models as they quantise symbols to write, or take in those they have read.

    Args:
        models: The entropy models; without any there is no checksum.
        method: ``quantize`` when writing, ``dequantize`` when reading.

    Raises:
        CodingError: A symbol to write is not finite, or too large.
    """

    def __init__(self, models: Sequence[EntropyModel], method: Literal["quantize", "dequantize"]) -> None:
        self.models = list(models)
        self.method = method
        self._sums = [0] * len(self.models)

    @property
    def value(self) -> int | None:
        """CRC-32 over each model's symbols as little-endian 32-bit integers, all of them xor'ed."""
        whole = 0
        for one in self._sums:
            whole ^= one
        return whole if self.models else None

    def __enter__(self) -> "SymbolChecksum":
        for index, model in enumerate(self.models):
            setattr(model, self.method, partial(self._listen, index, getattr(model, self.method)))
        return self

    def __exit__(self, *_: object) -> None:
        for model in self.models:
            delattr(model, self.method)

    def _listen(self, index: int, call: Callable[..., Any], inputs: torch.Tensor, *args: Any, **named: Any) -> Any:
        if self.method == "dequantize":
            # Before the call, which adds the means in place.
            self._note(index, inputs)
            return call(inputs, *args, **named)
        outputs = call(inputs, *args, **named)
        if (args[0] if args else named.get("mode")) == "symbols":
            self._note(index, outputs)
        return outputs

    def _note(self, index: int, symbols: torch.Tensor) -> None:
        whole = symbols.to("cpu", torch.int32)
        if self.method == "quantize" and not bool(((whole > -LARGEST) & (whole < LARGEST)).all()):
            raise CodingError("The codec's latents must be finite to be coded, got others; train it with a lower rate.")
        self._sums[index] = zlib.crc32(whole.contiguous().numpy().astype("<i4").tobytes(), self._sums[index])
