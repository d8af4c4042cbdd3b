"""What a traversal does with the symbols of one coding step: estimate their cost, write or read them, all or some."""

import zlib
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from compressai.ans import BufferedRansEncoder, RansDecoder
from jaxtyping import Bool, Float

from hpcm_spectral.entropy.tabled import TabledConditional
from hpcm_spectral.errors import CodingError
from hpcm_spectral.ops import ste_round

Values = Float[torch.Tensor, "B C h w"]
Inside = Bool[torch.Tensor, "1 C h w"] | None
# A decoder whose priors differ from the encoder's reads on past the end of its string; it shall find zeros there.
_ZEROS_PER_SYMBOL = 8
_ZEROS = 4096


@runtime_checkable
class SymbolCoder(Protocol):
    """One coding step after the other, in a fixed order."""

    def code(self, y: Values | None, scales: Values, means: Values, inside: Inside = None) -> Values:
        """Code the values of one step, whose prior is given, and return them as a decoder sees them.

        Args:
            y: The values; None where they are being decoded.
            scales: Scales of their prior.
            means: Means of their prior.
            inside: False where nothing is coded, because the position lies in the padding; None: code all.

        Returns:
            ``round(y - means) + means``, and ``means`` where nothing is coded.
        """
        ...


class EstimatingCoder:
    """Rounds values with a straight-through gradient and keeps their likelihoods.

    Args:
        entropy_model: The prior's family.
        training: Likelihoods are taken of values with uniform noise instead of rounded ones.

    Attributes:
        likelihoods: One tensor per step coded so far; 1 where nothing is coded.
    """

    def __init__(self, entropy_model: TabledConditional, *, training: bool) -> None:
        self.entropy_model = entropy_model
        self.training = training
        self.likelihoods: list[torch.Tensor] = []

    def code(self, y: Values | None, scales: Values, means: Values, inside: Inside = None) -> Values:
        """See :meth:`SymbolCoder.code`.

        Raises:
            ValueError: There is no ``y`` whose cost could be estimated.
        """
        if y is None:
            raise ValueError("an estimating coder needs the values of y, got none; decode with a decoding coder.")
        residual = y.float() - means.float()
        rounded = ste_round(residual)
        # Under bf16 autocast the noise must not be rounded to bf16, hence float32 above.
        coded = residual + torch.empty_like(residual).uniform_(-0.5, 0.5) if self.training else rounded
        of = self.entropy_model.training_likelihood if self.training else self.entropy_model.likelihood
        likelihood = of(coded, scales)
        if inside is not None:
            likelihood = torch.where(inside, likelihood, 1.0)
            rounded = torch.where(inside, rounded, 0.0)
        self.likelihoods.append(likelihood)
        return rounded + means.float()


class _TableCoder:
    """What writing and reading share: the tables as the rANS coder takes them, and a checksum of the symbols."""

    def __init__(self, entropy_model: TabledConditional) -> None:
        if not entropy_model._quantized_cdf.numel():
            raise ValueError("the codec's coding tables must exist before it can code; call codec.update() first.")
        self.entropy_model = entropy_model
        self.tables = entropy_model.coding_tables()
        self.checksum = 0

    def _indexes(self, scales: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
        if scales.shape[0] != 1:
            raise ValueError(f"images must be coded one by one, got a batch of {scales.shape[0]}.")
        indexes = self.entropy_model.build_indexes(scales)
        return indexes.flatten() if inside is None else indexes[inside]

    def _note(self, symbols: np.ndarray) -> None:
        self.checksum = zlib.crc32(symbols.astype("<i4").tobytes(), self.checksum)


class EncodingCoder(_TableCoder):
    """Writes the symbols of one image with CompressAI's rANS coder; values outside the tables by its escape.

    Attributes:
        checksum: CRC-32 of all symbols so far, as little-endian 32-bit integers.

    Raises:
        ValueError: There are no coding tables.
    """

    def __init__(self, entropy_model: TabledConditional) -> None:
        super().__init__(entropy_model)
        self._encoder = BufferedRansEncoder()

    def code(self, y: Values | None, scales: Values, means: Values, inside: Inside = None) -> Values:
        """See :meth:`SymbolCoder.code`.

        Raises:
            CodingError: A value is not finite, or too large to code.
        """
        assert y is not None
        means = means.float()
        rounded = torch.round(y.float() - means)
        if inside is not None:
            rounded = torch.where(inside, rounded, 0.0)
        # Up to here float32 holds every whole number.
        if not bool((rounded.abs() < 2**24).all()):
            raise CodingError("The codec's latents must be finite to be coded, got others; train it with a lower rate.")
        indexes = self._indexes(scales, inside)
        symbols = (rounded.flatten() if inside is None else rounded[inside]).int().cpu().numpy()
        self._note(symbols)
        self._encoder.encode_with_indexes(symbols.tolist(), indexes.tolist(), *self.tables)
        return rounded + means

    def finish(self) -> bytes:
        """The string of all symbols."""
        return self._encoder.flush()


class DecodingCoder(_TableCoder):
    """Reads the symbols that an :class:`EncodingCoder` wrote.

    Args:
        entropy_model: With its coding tables.
        string: What the encoder's ``finish`` returned.
        count: How many symbols there are, at most.

    Attributes:
        checksum: CRC-32 of all symbols so far; the encoder's is the same if all went well.

    Raises:
        ValueError: There are no coding tables.
    """

    def __init__(self, entropy_model: TabledConditional, string: bytes, count: int) -> None:
        super().__init__(entropy_model)
        self._decoder = RansDecoder()
        self._decoder.set_stream(string + bytes(_ZEROS_PER_SYMBOL * count + _ZEROS))

    def code(self, y: Values | None, scales: Values, means: Values, inside: Inside = None) -> Values:
        """See :meth:`SymbolCoder.code`."""
        indexes = self._indexes(scales, inside)
        symbols = np.array(self._decoder.decode_stream(indexes.tolist(), *self.tables), dtype=np.int32)
        self._note(symbols)
        means = means.float()
        decoded = torch.from_numpy(symbols).to(device=means.device, dtype=means.dtype)
        if inside is None:
            return decoded.reshape(means.shape) + means
        return torch.zeros_like(means).masked_scatter_(inside, decoded) + means


class PartialCoder:
    """Codes the first ``steps`` as another coder does; of later ones a decoder knows only the priors' means."""

    def __init__(self, coder: SymbolCoder, steps: int) -> None:
        self.coder = coder
        self.steps_left = steps

    def code(self, y: Values | None, scales: Values, means: Values, inside: Inside = None) -> Values:
        """See :meth:`SymbolCoder.code`; of a later step, ``means``."""
        if self.steps_left == 0:
            return means.float()
        self.steps_left -= 1
        return self.coder.code(y, scales, means, inside)
