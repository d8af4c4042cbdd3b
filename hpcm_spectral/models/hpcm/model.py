"""HPCM, "Learned Image Compression with Hierarchical Progressive Context Modeling" (ICCV 2025, arXiv 2507.19125)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from compressai.models import CompressionModel
from compressai.registry import register_model
from jaxtyping import Float
from torch import nn

from hpcm_spectral.codec import CodecOutput, EncodedImage, Level, PartialReconstruction, ScaleLatent
from hpcm_spectral.entropy import (
    DecodingCoder,
    EncodingCoder,
    EstimatingCoder,
    GeneralizedGaussianConditional,
    PartialCoder,
    SymbolCoder,
    get_scale_table,
)
from hpcm_spectral.entropy.generalized_gaussian import SCALE_MIN
from hpcm_spectral.entropy.tabled import TAIL_MASS
from hpcm_spectral.errors import CodingError
from hpcm_spectral.metrics import bits
from hpcm_spectral.models.batches import CodesBatches
from hpcm_spectral.models.hpcm.attention import WindowCrossAttention
from hpcm_spectral.models.hpcm.context import ProgressiveContext
from hpcm_spectral.models.hpcm.layers import ResidualBlock
from hpcm_spectral.models.hpcm.order import STEPS_UP_TO, assemble
from hpcm_spectral.models.hpcm.sizes import BASE, HyperPriorOrder, checked_arguments, infer_arguments, registered_name
from hpcm_spectral.models.hpcm.transforms import build_g_a, build_g_s, build_h_a, build_h_s, initialise
from hpcm_spectral.ops import Padding, centred_padding
from hpcm_spectral.ops.devices import as_float32, reproducible, transforms_in
from hpcm_spectral.ops.pointwise import shared_casts
from hpcm_spectral.ops.recomputing import recomputed

SIZE_MULTIPLE = 256
# Pixels per position of y and of z.
STRIDE_Y, STRIDE_Z = 16, 64


@register_model("hpcm")
class HPCM(CodesBatches, CompressionModel):
    """Learned image codec with a hyper-prior and three scales of progressive context.

    .. code-block:: none

        x ──► g_a ──► y ──► h_a ──► z ──► quantise ──► z_hat ──► h_s ──► hyper prior
                      │                                                    │
                      └──────────────► ProgressiveContext ◄────────────────┘
                                              │
        x_hat ◄── g_s ◄───────────────────── y_hat

    The defaults are those of HPCM-Base.

    Args:
        latent_channels: Channels of y, a multiple of 40 (320).
        hyper_channels: Channels of z, a multiple of 4 (256).
        widths: Channels of g_a at 1/2, 1/4 and 1/8 of the image's size, multiples of 4; g_s mirrors them.
        depths: Residual blocks there, at least 0.
        context_depths_coarse: Blocks before and after the gain in the context network of scales 1 and 2.
        context_depths_fine: Those of scale 3.
        cross_attention: False builds the published variant without it ("phi context").
        hyper_prior_order: ``published`` (needed for published checkpoints) or ``aligned``.
        gradient_checkpointing: Compute blocks again in the backward pass instead of keeping what is inside them.

    Raises:
        ValueError: A number is outside its range.
    """

    size_multiple = SIZE_MULTIPLE
    free_transforms = True
    scales = len(STEPS_UP_TO)
    string_names = ("y", "z")
    shape_multiple = STRIDE_Z
    block_types = (ResidualBlock, WindowCrossAttention)

    def __init__(
        self,
        latent_channels: int = BASE["latent_channels"],
        hyper_channels: int = BASE["hyper_channels"],
        widths: Sequence[int] = BASE["widths"],
        depths: Sequence[int] = BASE["depths"],
        context_depths_coarse: Sequence[int] = BASE["context_depths_coarse"],
        context_depths_fine: Sequence[int] = BASE["context_depths_fine"],
        cross_attention: bool = True,
        hyper_prior_order: HyperPriorOrder = "published",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = gradient_checkpointing
        self.arguments = checked_arguments(
            latent_channels=latent_channels,
            hyper_channels=hyper_channels,
            widths=widths,
            depths=depths,
            context_depths_coarse=context_depths_coarse,
            context_depths_fine=context_depths_fine,
            cross_attention=cross_attention,
            hyper_prior_order=hyper_prior_order,
        )
        # A subclass is exported by the settings that it was built from.
        self.name = registered_name(self.arguments) if type(self) is HPCM else ""
        self.g_a = build_g_a(widths, depths, latent_channels)
        self.g_s = build_g_s(widths, depths, latent_channels)
        self.h_a = build_h_a(latent_channels, hyper_channels)
        self.h_s = build_h_s(latent_channels, hyper_channels)
        initialise(self.g_a, self.g_s, self.h_a, self.h_s)
        self.means_hyper = nn.Parameter(torch.zeros(1, hyper_channels, 1, 1))
        self.scales_hyper = nn.Parameter(torch.ones(1, hyper_channels, 1, 1))
        self.context = ProgressiveContext(
            latent_channels,
            context_depths_coarse,
            context_depths_fine,
            cross_attention=cross_attention,
            hyper_prior_order=hyper_prior_order,
            checkpointed=gradient_checkpointing,
        )
        self.entropy_model = GeneralizedGaussianConditional(beta=1.5, scale_bound=SCALE_MIN, tail_mass=TAIL_MASS)

    def forward(self, x: Float[torch.Tensor, "B 3 H W"], level: Level | None = None) -> CodecOutput:
        """See :class:`Codec`; sides that are no multiples of 256 are zero-padded, centred, and cropped again.

        The likelihoods are those of the padded image's ``y`` and ``z``, in float32; ``level`` is ignored.
        """
        padding = centred_padding(x.shape[-2], x.shape[-1], SIZE_MULTIPLE)
        y, z = self._analyse(x, padding)
        coder_z, coder_y = (EstimatingCoder(self.entropy_model, training=self.training) for _ in range(2))
        z_hat = self._code_hyper(coder_z, z, padding)
        latents = self._code_latents(coder_y, z_hat.to(y.dtype), y, padding)
        return {
            "x_hat": self._synthesise(latents, padding, y.dtype),
            "likelihoods": {"y": assemble(coder_y.likelihoods), "z": coder_z.likelihoods[0]},
            "latents": latents,
        }

    @torch.no_grad()
    def reconstructions(self, x: Float[torch.Tensor, "B 3 H W"], level: int = 0) -> list[PartialReconstruction]:
        """See :class:`Codec`: records of ``z`` (the hyper-prior alone) and of the scales ``1``, ``2`` and ``3``.

        Of the scales that it has not received, a decoder knows the priors' means.
        """
        padding = centred_padding(x.shape[-2], x.shape[-1], SIZE_MULTIPLE)
        y, z = self._analyse(x, padding)
        coder_z = EstimatingCoder(self.entropy_model, training=False)
        z_hat = self._code_hyper(coder_z, z, padding).to(y.dtype)
        records, done = [], 0
        for scale, steps in zip(("z", "1", "2", "3"), (0, *STEPS_UP_TO), strict=True):
            coder_y = EstimatingCoder(self.entropy_model, training=False)
            latents = self._code_latents(PartialCoder(coder_y, steps), z_hat, y, padding)
            coded = [*coder_z.likelihoods, *coder_y.likelihoods]
            spent = torch.stack([torch.stack([bits(image) for image in step]) for step in coded[done:]]).sum(0)
            records.append(PartialReconstruction(scale, self._synthesise(latents, padding, y.dtype), spent))
            done = len(coded)
        return records

    @torch.inference_mode()
    def encode(self, x: Float[torch.Tensor, "1 3 H W"], level: int = 0) -> EncodedImage:
        """See :class:`Codec`.

        Raises:
            CodingError: The latents are not finite.
            ValueError: There are no coding tables; ``update`` makes them.
        """
        height, width = x.shape[-2:]
        padding = centred_padding(height, width, SIZE_MULTIPLE)
        coder_z, coder_y = (EncodingCoder(self.entropy_model) for _ in range(2))
        with reproducible(x.device):
            with transforms_in(self.transform_dtype, x.device) as layout:
                y = as_float32(self.g_a(padding.pad(x.float()).contiguous(memory_format=layout)))
            z = self.h_a(y)
            z_hat = self._code_hyper(coder_z, z, padding)
            self._code_latents(coder_y, z_hat, y, padding)
        checksum = coder_z.checksum ^ coder_y.checksum
        strings = {"z": coder_z.finish(), "y": coder_y.finish()}
        return EncodedImage(strings, height, width, checksum=checksum)

    @torch.inference_mode()
    def decode(self, image: EncodedImage, scales: int | None = None) -> Float[torch.Tensor, "1 3 H W"]:
        """See :class:`Codec`; equal to ``x_hat`` of ``forward`` in evaluation mode, given the same thread count too.

        Raises:
            CodingError: Other symbols came out than went in: the decoder computed other priors than the encoder.
            ValueError: There are no coding tables; ``update`` makes them.
        """
        if image.strings.keys() != {"z", "y"}:
            raise CodingError(f"must hold the strings z and y, got {', '.join(image.strings) or 'none'}")
        padding = centred_padding(image.height, image.width, SIZE_MULTIPLE)
        rows = (image.height + padding.top + padding.bottom) // STRIDE_Z
        columns = (image.width + padding.left + padding.right) // STRIDE_Z
        channels_y, channels_z = self.arguments["latent_channels"], self.arguments["hyper_channels"]
        cells = (STRIDE_Z // STRIDE_Y) ** 2
        coder_z = DecodingCoder(self.entropy_model, image.strings["z"], channels_z * rows * columns)
        coder_y = DecodingCoder(self.entropy_model, image.strings["y"], channels_y * rows * columns * cells)
        with reproducible(self.means_hyper.device):
            z_hat = self._code_hyper(coder_z, self.means_hyper.new_zeros(1, channels_z, rows, columns), padding)
            steps = STEPS_UP_TO[self._scales_to_decode(scales) - 1]
            latents = self._code_latents(PartialCoder(coder_y, steps), z_hat, None, padding)
            if steps == STEPS_UP_TO[-1]:
                image.check_symbols(coder_z.checksum ^ coder_y.checksum)
            y_hat = latents[-1].y_hat
            with transforms_in(self.transform_dtype, y_hat.device) as layout:
                return padding.crop(as_float32(self.g_s(y_hat.contiguous(memory_format=layout))))

    def _analyse(self, x: torch.Tensor, padding: Padding) -> tuple[torch.Tensor, torch.Tensor]:
        y = self._through(self.g_a, padding.pad(x))
        return y, self._through(self.h_a, y)

    def _through(self, layers: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
        """A transform, of whose residual blocks only the inputs are kept if told so."""
        if not self.gradient_checkpointing:
            return layers(x)
        for layer in layers:
            resampling = isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
            x = layer(x) if resampling else recomputed(layer, x)
        return x

    def _code_hyper(self, coder: SymbolCoder, z: torch.Tensor, padding: Padding) -> torch.Tensor:
        """z_hat. Of ``z`` a decoding coder takes the size only."""
        scales, means = (p.float().expand_as(z) for p in (self.scales_hyper, self.means_hyper))
        inside = padding.cells_inside(z.shape[-2], z.shape[-1], STRIDE_Z, z.device)
        return coder.code(z, scales, means, None if inside is None else inside.expand(-1, z.shape[1], -1, -1))

    def _code_latents(
        self, coder: SymbolCoder, z_hat: torch.Tensor, y: torch.Tensor | None, padding: Padding
    ) -> list[ScaleLatent]:
        hyper_prior = self._through(self.h_s, z_hat)
        inside = padding.cells_inside(hyper_prior.shape[-2], hyper_prior.shape[-1], STRIDE_Y, hyper_prior.device)
        with shared_casts():
            return self.context(hyper_prior, coder, y, inside)

    def _synthesise(self, latents: list[ScaleLatent], padding: Padding, dtype: torch.dtype) -> torch.Tensor:
        # Coded values are float32; the networks want their own precision.
        return padding.crop(self._through(self.g_s, latents[-1].y_hat.to(dtype)))

    def update(self, scale_table: list[float] | None = None, force: bool = False, **kwargs: Any) -> bool:
        """See :class:`Codec`; the tables are of HPCM's own 60 scales unless told otherwise, as CompressAI can."""
        table = get_scale_table() if scale_table is None else scale_table
        return CompressionModel.update(self, table, force=force, **kwargs)

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, torch.Tensor], **arguments: Any) -> "HPCM":
        """A model of the sizes that a state dict of this class shows, filled with it.

        ``arguments`` say what no tensor shows, such as ``hyper_prior_order``.
        """
        # A variant's constructor would put its own sizes first; the tensors decide here.
        model = HPCM(**{**infer_arguments(state_dict), **arguments})
        model.load_state_dict(state_dict)
        return model
