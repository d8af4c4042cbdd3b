"""DHIC, the hierarchical codec of "Taming Hierarchical Image Coding Optimization" (ICLR 2026)."""

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import torch
from compressai.models import CompressionModel
from compressai.registry import register_model
from jaxtyping import Float

from hpcm_spectral.codec import CodecOutput, EncodedImage, Level, PartialReconstruction
from hpcm_spectral.entropy import (
    DecodingCoder,
    DiscretizedGaussian,
    EncodingCoder,
    EstimatingCoder,
    PartialCoder,
    SymbolCoder,
)
from hpcm_spectral.errors import CodingError
from hpcm_spectral.metrics import bits
from hpcm_spectral.models.batches import CodesBatches
from hpcm_spectral.models.dhic.blocks import FFN, Block
from hpcm_spectral.models.dhic.decoder import Decoder
from hpcm_spectral.models.dhic.encoder import Encoder
from hpcm_spectral.models.dhic.initialise import initialise, start_steps
from hpcm_spectral.models.dhic.prior import DecodedScale, PriorPath
from hpcm_spectral.models.dhic.rate import level_lmbdas
from hpcm_spectral.models.dhic.sizes import PUBLISHED, Sizes
from hpcm_spectral.ops import Padding, aligned_padding
from hpcm_spectral.ops.devices import as_float32, reproducible, transforms_in


@register_model("dhic")
class DHIC(CodesBatches, CompressionModel):
    """Learned image codec with a latent of its own at each of several scales, without hyper-prior or context.

    .. code-block:: none

        x ──► encoder ──► features per scale ──► prior path ──► features before and after each latent ──► decoder
                                                    │
                                                    └──► z1 (coarsest), z2, ...: quantised under Gaussian priors

    Lists run from the coarsest scale to the finest; the defaults are those of the published model. A scale has twice
    the resolution of the one before; the finest has a position per patch.

    Args:
        channels: Channels of the features at each scale.
        latent_channels: Channels of each scale's latent.
        encoder_depths: Blocks of the encoder at each scale.
        prior_depths_before: Blocks of the prior path before each scale's latent.
        prior_depths_after: Blocks of the prior path after each scale's latent but the finest's.
        decoder_depths_before: Blocks of the decoder before it takes in each scale.
        decoder_depths_after: Blocks of the decoder after that.
        stem_channels: Channels of the encoder's blocks on patches.
        stem_depth: Their number; without any the patches' own channels go on.
        patch: Side of a patch in pixels.
        levels: Number of rate levels, at most 256; 1: the weight of the distortion is the loss's.
        lmbda_min: Weight of the distortion at level 0, in the unit of the loss's own (``255^2 * MSE``).
        lmbda_max: The same at the last level; between them it rises geometrically.
        gradient_checkpointing: Compute blocks again in the backward pass instead of keeping what is inside them.

    Raises:
        ValueError: A number is outside its range.
    """

    free_transforms = True
    block_types = (Block, FFN)

    def __init__(
        self,
        channels: Sequence[int] = PUBLISHED["channels"],
        latent_channels: Sequence[int] = PUBLISHED["latent_channels"],
        encoder_depths: Sequence[int] = PUBLISHED["encoder_depths"],
        prior_depths_before: Sequence[int] = PUBLISHED["prior_depths_before"],
        prior_depths_after: Sequence[int] = PUBLISHED["prior_depths_after"],
        decoder_depths_before: Sequence[int] = PUBLISHED["decoder_depths_before"],
        decoder_depths_after: Sequence[int] = PUBLISHED["decoder_depths_after"],
        stem_channels: int = PUBLISHED["stem_channels"],
        stem_depth: int = PUBLISHED["stem_depth"],
        patch: int = PUBLISHED["patch"],
        levels: int = PUBLISHED["levels"],
        lmbda_min: float = PUBLISHED["lmbda_min"],
        lmbda_max: float = PUBLISHED["lmbda_max"],
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.sizes = Sizes(
            channels=channels,
            latent_channels=latent_channels,
            encoder_depths=encoder_depths,
            prior_depths_before=prior_depths_before,
            prior_depths_after=prior_depths_after,
            decoder_depths_before=decoder_depths_before,
            decoder_depths_after=decoder_depths_after,
            stem_channels=stem_channels,
            stem_depth=stem_depth,
            patch=patch,
            levels=levels,
            lmbda_min=lmbda_min,
            lmbda_max=lmbda_max,
            gradient_checkpointing=gradient_checkpointing,
        )
        self.arguments = self.sizes.arguments()
        # A subclass is exported by the settings that it was built from.
        self.name = "dhic" if type(self) is DHIC else ""
        self.size_multiple = self.shape_multiple = self.sizes.strides[0]
        self.scales = self.sizes.scales
        self.string_names = tuple(f"z{number}" for number in range(1, self.scales + 1))
        self.levels = levels
        self.lmbdas = level_lmbdas(levels, lmbda_min, lmbda_max) if levels > 1 else None
        self.encoder = Encoder(self.sizes)
        self.prior = PriorPath(self.sizes)
        self.decoder = Decoder(self.sizes)
        self.entropy_model = DiscretizedGaussian()
        initialise(self.encoder, self.prior, self.decoder)
        if self.lmbdas is not None:
            start_steps(self.prior, self.lmbdas)

    def forward(self, x: Float[torch.Tensor, "B 3 H W"], level: Level | None = None) -> CodecOutput:
        """See :class:`Codec`; sides that are no multiples are continued at the right and the bottom, and cropped again.

        The likelihoods are those of ``z1``, the coarsest scale, to the finest, in float32.
        """
        level = self._level(level)
        padding = self._padding(*x.shape[-2:])
        coders = [EstimatingCoder(self.entropy_model, training=self.training) for _ in range(self.scales)]
        scales = self._code(coders, padding.pad(x), padding, level)
        return {
            "x_hat": padding.crop(self.decoder(scales, level)),
            "likelihoods": {name: coder.likelihoods[0] for name, coder in zip(self.string_names, coders, strict=True)},
            "latents": [scale.latent for scale in scales],
        }

    @torch.no_grad()
    def reconstructions(self, x: Float[torch.Tensor, "B 3 H W"], level: int = 0) -> list[PartialReconstruction]:
        """See :class:`Codec`; of a scale that it has not received, a decoder knows the prior's mean."""
        padding = self._padding(*x.shape[-2:])
        padded = padding.pad(x)
        features = self.encoder(padded)
        records = []
        for count in range(1, self.scales + 1):
            coder = EstimatingCoder(self.entropy_model, training=False)
            coders = [PartialCoder(coder, 1) for _ in range(count)]
            coders += [PartialCoder(coder, 0) for _ in range(self.scales - count)]
            scales = self._traverse(coders, features, padding, level, len(x), padded.shape[-2:])
            spent = torch.stack([bits(image) for image in coder.likelihoods[-1]])
            records.append(PartialReconstruction(str(count), padding.crop(self.decoder(scales, level)), spent))
        return records

    @torch.inference_mode()
    def encode(self, x: Float[torch.Tensor, "1 3 H W"], level: int = 0) -> EncodedImage:
        """See :class:`Codec`.

        Raises:
            CodingError: The latents are not finite.
            ValueError: There are no coding tables, or no such level.
        """
        self._level(level)
        height, width = x.shape[-2:]
        padding = self._padding(height, width)
        coders = [EncodingCoder(self.entropy_model) for _ in range(self.scales)]
        with reproducible(x.device):
            padded = padding.pad(x.float())
            with transforms_in(self.transform_dtype, x.device) as layout:
                features = self.encoder(padded.contiguous(memory_format=layout))
            self._traverse(coders, features, padding, level, 1, padded.shape[-2:])
        strings = {name: coder.finish() for name, coder in zip(self.string_names, coders, strict=True)}
        return EncodedImage(strings, height, width, level, checksum=_checksum(coders))

    @torch.inference_mode()
    def decode(self, image: EncodedImage, scales: int | None = None) -> Float[torch.Tensor, "1 3 H W"]:
        """See :class:`Codec`; the strings of scales beyond ``scales`` are not read, their values are the priors' means.

        Raises:
            CodingError: The strings are others, or other symbols came out than went in.
            ValueError: There are no coding tables; ``update`` makes them.
        """
        if tuple(image.strings) != self.string_names:
            raise CodingError(
                f"must hold the strings {', '.join(self.string_names)}, got {', '.join(image.strings) or 'none'}"
            )
        if image.level >= self.levels:
            raise CodingError(f"must be of a level below {self.levels}, got {image.level}")
        count = self._scales_to_decode(scales)
        padding = self._padding(image.height, image.width)
        sides = image.height + padding.bottom, image.width + padding.right
        coders: list[SymbolCoder] = []
        sizes = zip(self.string_names, self.sizes.latent_channels, self.sizes.strides, strict=True)
        for name, channels, stride in sizes:
            symbols = channels * (sides[0] // stride) * (sides[1] // stride)
            decoding = DecodingCoder(self.entropy_model, image.strings[name], symbols)
            coders.append(decoding if len(coders) < count else PartialCoder(decoding, 0))
        with reproducible(self.prior.bias.device):
            decoded = self._traverse(coders, None, padding, image.level, 1, sides)
            if count == self.scales:
                image.check_symbols(_checksum(coders))
            with transforms_in(self.transform_dtype, self.prior.bias.device) as layout:
                return padding.crop(as_float32(self.decoder(decoded, image.level, layout)))

    def update(self, scale_table: list[float] | None = None, force: bool = False, **kwargs: Any) -> bool:
        """See :class:`Codec`; the tables are of the published 64 scales unless told otherwise, as CompressAI can."""
        table = self.entropy_model.scales() if scale_table is None else scale_table
        return CompressionModel.update(self, table, force=force, **kwargs)

    def _level(self, level: Level | None) -> Level:
        level = 0 if level is None else level
        if isinstance(level, int) and not 0 <= level < self.levels:
            raise ValueError(f"level must lie between 0 and {self.levels - 1}, got {level}.")
        return level

    def _padding(self, height: int, width: int) -> Padding:
        return aligned_padding(height, width, self.size_multiple)

    def _code(
        self, coders: Sequence[SymbolCoder], padded: torch.Tensor, padding: Padding, level: Level
    ) -> list[DecodedScale]:
        return self._traverse(coders, self.encoder(padded), padding, level, len(padded), padded.shape[-2:])

    def _traverse(
        self,
        coders: Sequence[SymbolCoder],
        features: Sequence[torch.Tensor] | None,
        padding: Padding,
        level: Level,
        batch: int,
        sides: Sequence[int],
    ) -> list[DecodedScale]:
        device = self.prior.bias.device
        insides = [
            padding.cells_inside(sides[0] // stride, sides[1] // stride, stride, device)
            for stride in self.sizes.strides
        ]
        coarsest = self.sizes.strides[0]
        return self.prior(coders, level, features, (batch, sides[0] // coarsest, sides[1] // coarsest), insides)


def _checksum(coders: Sequence[Any]) -> int:
    """CRC-32 over the checksums of all scales' symbols."""
    return zlib.crc32(struct.pack(f"<{len(coders)}I", *(coder.checksum for coder in coders)))
