"""All that anyone may know of a codec: its protocol, and the records that pass through it.

Letters: B batch, H and W an image's sides, h and w those of a latent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict

import torch
from jaxtyping import Bool, Float, Int
from torch import nn

from hpcm_spectral.errors import CodingError, ConfigError

Level = int | Int[torch.Tensor, " B"]


@dataclass(frozen=True)
class ScaleLatent:
    """The decoded latent of one scale.

    Args:
        y_hat: Decoded values at this scale's size, with gradient. Where scales share one latent (HPCM) they contain
            the values that coarser scales decoded; in a true hierarchy they are this scale's own.
        newly_coded: True where this scale coded a value, False where it inherited one; broadcasts over the batch.
        prior: Of a hierarchy's coarsest scale: the learned bias that its prior starts from, at this scale's size.
    """

    y_hat: Float[torch.Tensor, "B C h w"]
    newly_coded: Bool[torch.Tensor, "1 C h w"]
    prior: Float[torch.Tensor, "B D h w"] | None = None


class CodecOutput(TypedDict):
    """What a codec's ``forward`` returns: CompressAI's form, and the latents of every scale, coarsest first."""

    x_hat: torch.Tensor
    likelihoods: dict[str, torch.Tensor]
    latents: list[ScaleLatent]


@dataclass(frozen=True)
class PartialReconstruction:
    """What a decoder shows that has received a codec's scales up to one of them.

    Args:
        scale: Name of that scale, the last one received.
        x_hat: The reconstructions, not clamped.
        bits: What this scale alone costs, per image.
    """

    scale: str
    x_hat: Float[torch.Tensor, "B 3 H W"]
    bits: Float[torch.Tensor, " B"]


@dataclass(frozen=True)
class EncodedImage:
    """An image as strings of an entropy coder.

    Args:
        strings: By name, in the order in which a decoder needs them.
        height: Of the image in pixels.
        width: Of the image in pixels.
        level: The rate level that it was coded at.
        checksum: CRC-32 over the coded symbols; None where the codec keeps none.
    """

    strings: Mapping[str, bytes]
    height: int
    width: int
    level: int = 0
    checksum: int | None = None

    def check_symbols(self, checksum: int | None) -> None:
        """Compare the checksum of what was decoded with that of what was coded, where both are kept.

        Raises:
            CodingError: They differ.
        """
        if None not in (self.checksum, checksum) and self.checksum != checksum:
            raise CodingError(
                "must give the symbols that were encoded, but their checksum differs; decode with the kind of device, "
                "the library versions and the thread count that encoded"
            )


class Codec(nn.Module):
    """A learned image codec, as training, losses, stages, diagnostics, files and evaluation know it.

    A codec of your own derives from this class, or is any CompressAI ``CompressionModel``, which
    :func:`hpcm_spectral.models.as_codec` brings behind this protocol.

    Attributes:
        name: The name that it is registered under, or the dotted path of its class.
        arguments: What it is built from: plain values that JSON can hold.
        size_multiple: What images are padded to: a multiple, in pixels, for both sides. Training crops are one.
        scales: Up to how many scales a decoder can be told to stop at; 1 for a codec that is decoded as a whole.
        levels: Number of rate levels; 1 for a codec of one rate.
        lmbdas: Weight of the distortion at each level, in the unit of the loss's own; None: the loss's.
        free_transforms: It has networks outside the entropy path: what they return differs in precision between
            machines without any file being read wrongly.
        transform_dtype: What ``encode`` and ``decode`` compute those in; see :meth:`set_transforms`.
        block_types: Classes of the modules of its network that ``compile=`` compiles one by one in training; a
            network that is wrapped may name its own.
    """

    name: str
    arguments: dict[str, Any]
    size_multiple: int = 1
    scales: int = 1
    levels: int = 1
    lmbdas: tuple[float, ...] | None = None
    free_transforms: bool = False
    transform_dtype: torch.dtype = torch.float32
    block_types: ClassVar[tuple[type[nn.Module], ...]] = (nn.Sequential,)

    def set_transforms(self, dtype: torch.dtype) -> None:
        """Choose what ``encode`` and ``decode`` compute the networks outside the entropy path in.

        Encoder and decoder choose independently: every file decodes with either.

        Args:
            dtype: ``torch.float32`` or ``torch.bfloat16``.

        Raises:
            ConfigError: The codec has no such networks, or knows none.
        """
        if dtype != torch.float32 and not self.free_transforms:
            raise ConfigError(
                f"transforms must be float32 for {self.name or 'this codec'}, which names no networks outside its "
                f"entropy path, got {str(dtype).removeprefix('torch.')}."
            )
        self.transform_dtype = dtype

    @property
    def network(self) -> nn.Module:
        """The module whose weights files hold under their own names: the codec itself, unless it wraps another."""
        return self

    @property
    def middle_level(self) -> int:
        """The level that stands for all others where one picture or figure has to."""
        return (self.levels - 1) // 2

    def spread_levels(self, count: int) -> list[int]:
        """At most ``count`` levels, evenly spaced from the first to the last."""
        count, last = min(count, self.levels), self.levels - 1
        return [round(number * last / max(1, count - 1)) for number in range(count)]

    def at_level(self, level: int) -> dict[str, int]:
        """Arguments that choose a level: none of a codec of one rate, whose methods need not take any."""
        return {"level": level} if self.levels > 1 else {}

    def forward(self, x: Float[torch.Tensor, "B 3 H W"], level: Level | None = None) -> CodecOutput:
        """Reconstruct images and estimate what they cost.

        Args:
            x: Images in [0, 1] of any size.
            level: Rate level, of all images or of each; None: the only one, or 0.

        Returns:
            ``x_hat`` (not clamped), ``likelihoods`` by any names, and ``latents``, a record per scale.
        """
        raise NotImplementedError

    def encode(self, x: Float[torch.Tensor, "1 3 H W"], level: int = 0) -> EncodedImage:
        """Code one image of any size in [0, 1].

        Raises:
            CodingError: The image cannot be coded.
        """
        raise NotImplementedError

    def decode(self, image: EncodedImage, scales: int | None = None) -> Float[torch.Tensor, "1 3 H W"]:
        """The inverse of :meth:`encode` on the same kind of machine; the reconstruction is not clamped.

        Args:
            image: What ``encode`` returned.
            scales: Decode the first ones only, as a preview, from 1 to the codec's ``scales``; None: all.

        Raises:
            CodingError: Other symbols came out than went in.
        """
        raise NotImplementedError

    def _scales_to_decode(self, scales: int | None) -> int:
        """How many scales ``decode`` is asked for.

        Raises:
            ValueError: The codec does not have so many.
        """
        count = self.scales if scales is None else scales
        if not 1 <= count <= self.scales:
            raise ValueError(f"scales must lie between 1 and {self.scales}, got {count}.")
        return count

    def update(self, *, force: bool = False) -> bool:
        """Compute the coding tables from the weights.

        Args:
            force: Replace tables that exist.

        Returns:
            Whether anything changed.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """Bring what follows from the weights but is not trained up to date; called before validation and export."""

    @torch.no_grad()
    def reconstructions(self, x: Float[torch.Tensor, "B 3 H W"], level: int = 0) -> list[PartialReconstruction]:
        """Reconstruct images from ever more scales, in the order in which they are coded.

        Args:
            x: Images in [0, 1].
            level: Rate level.

        Returns:
            One record per scale that can be decoded without those after it; here one for all. The last one's ``x_hat``
            is that of ``forward`` in evaluation mode.
        """
        out = self(x, level)
        spent = [-torch.log2(p.float()).flatten(1).sum(1) for p in out["likelihoods"].values()]
        return [PartialReconstruction("all", out["x_hat"], torch.stack(spent).sum(0))]
