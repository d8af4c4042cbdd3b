"""HPCM, "Learned Image Compression with Hierarchical Progressive Context Modeling" (ICCV 2025, arXiv 2507.19125)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import torch
from compressai.models import CompressionModel
from compressai.registry import register_model
from jaxtyping import Float
from torch import nn

from hpcm_spectral.entropy import EstimatingCoder, GeneralizedGaussianConditional, get_scale_table
from hpcm_spectral.entropy.generalized_gaussian import SCALE_MIN, TAIL_MASS
from hpcm_spectral.latents import ScaleLatent
from hpcm_spectral.models.hpcm.attention import HEAD_CHANNELS
from hpcm_spectral.models.hpcm.context import HyperPriorOrder, ProgressiveContext
from hpcm_spectral.models.hpcm.order import assemble
from hpcm_spectral.models.transforms import build_g_a, build_g_s, build_h_a, build_h_s, initialise
from hpcm_spectral.ops import centred_padding, ste_round

SIZE_MULTIPLE = 256


class CodecOutput(TypedDict):
    """What ``forward`` returns, in CompressAI's form plus the latents of every scale."""

    x_hat: torch.Tensor
    likelihoods: dict[str, torch.Tensor]
    latents: list[ScaleLatent]


@register_model("hpcm")
class HPCM(CompressionModel):
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

    Raises:
        ValueError: A number is outside its range.
    """

    def __init__(
        self,
        latent_channels: int = 320,
        hyper_channels: int = 256,
        widths: Sequence[int] = (96, 192, 384),
        depths: Sequence[int] = (2, 2, 4),
        context_depths_coarse: Sequence[int] = (2, 1),
        context_depths_fine: Sequence[int] = (3, 2),
        cross_attention: bool = True,
        hyper_prior_order: HyperPriorOrder = "published",
    ) -> None:
        super().__init__()
        _check_multiple("latent_channels", latent_channels, 2 * HEAD_CHANNELS)
        _check_multiple("hyper_channels", hyper_channels, 4)
        for width in _check_length("widths", widths, 3):
            _check_multiple("widths", width, 4)
        _check_length("depths", depths, 3)
        _check_length("context_depths_coarse", context_depths_coarse, 2)
        _check_length("context_depths_fine", context_depths_fine, 2)
        for name, values in (
            ("depths", depths),
            ("context_depths_coarse", context_depths_coarse),
            ("context_depths_fine", context_depths_fine),
        ):
            if min(values) < 0:
                raise ValueError(f"{name} must not be negative, got {list(values)}.")
        if hyper_prior_order not in ("published", "aligned"):
            raise ValueError(f"hyper_prior_order must be published or aligned, got {hyper_prior_order!r}.")
        self.arguments: dict[str, Any] = {
            "latent_channels": latent_channels,
            "hyper_channels": hyper_channels,
            "widths": list(widths),
            "depths": list(depths),
            "context_depths_coarse": list(context_depths_coarse),
            "context_depths_fine": list(context_depths_fine),
            "cross_attention": cross_attention,
            "hyper_prior_order": hyper_prior_order,
        }
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
        )
        self.entropy_model = GeneralizedGaussianConditional(beta=1.5, scale_bound=SCALE_MIN, tail_mass=TAIL_MASS)

    def forward(self, x: Float[torch.Tensor, "B 3 H W"]) -> CodecOutput:
        """Reconstruct images and estimate what they cost.

        Args:
            x: Images in [0, 1]; sides that are no multiples of 256 are zero-padded, centred, and cropped again.

        Returns:
            ``x_hat`` (not clamped), the likelihoods of the padded image's ``y`` and ``z`` (float32), and the
            latents of the three scales.
        """
        padding = centred_padding(x.shape[-2], x.shape[-1], SIZE_MULTIPLE)
        y = self.g_a(padding.pad(x))
        z_hat, z_likelihoods = self._code_hyper(self.h_a(y))
        coder = EstimatingCoder(self.entropy_model, training=self.training)
        # Coded values are float32; the networks want their own precision.
        latents = self.context(self.h_s(z_hat.to(y.dtype)), coder, y)
        x_hat = self.g_s(latents[-1].y_hat.to(y.dtype))
        return {
            "x_hat": padding.crop(x_hat),
            "likelihoods": {"y": assemble(coder.likelihoods), "z": z_likelihoods},
            "latents": latents,
        }

    def _code_hyper(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z_hat, and the likelihood of z under the learned prior."""
        residual = z.float() - self.means_hyper
        rounded = ste_round(residual)
        coded = residual + torch.empty_like(residual).uniform_(-0.5, 0.5) if self.training else rounded
        likelihoods = self.entropy_model.likelihood(coded, self.scales_hyper.expand_as(coded))
        return rounded + self.means_hyper, likelihoods

    def update(self, scale_table: list[float] | None = None, force: bool = False, **kwargs: Any) -> bool:
        """Compute the coding tables, of HPCM's own 60 scales unless told otherwise.

        Args:
            scale_table: Other scales.
            force: Replace tables that exist.
            kwargs: CompressAI's other options.

        Returns:
            Whether anything changed.
        """
        return super().update(get_scale_table() if scale_table is None else scale_table, force=force, **kwargs)

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, torch.Tensor], **arguments: Any) -> "HPCM":
        """A model of the sizes that a state dict of this class shows, filled with it.

        Args:
            state_dict: What ``state_dict()`` of an HPCM returned.
            arguments: What no tensor shows, such as ``hyper_prior_order``.
        """
        # A variant's constructor would put its own sizes first; the tensors decide here.
        model = HPCM(**{**infer_arguments(state_dict), **arguments})
        model.load_state_dict(state_dict)
        return model


def infer_arguments(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Constructor arguments of :class:`HPCM` from the names and shapes of its state dict.

    Raises:
        KeyError: A tensor that every HPCM has is missing.
    """
    g_a = [state_dict[key] for key in _convolutions(state_dict, "g_a")]

    def blocks(prefix: str) -> int:
        return len({key[len(prefix) :].split(".")[0] for key in state_dict if key.startswith(prefix)})

    return {
        "latent_channels": g_a[-1].shape[0],
        "hyper_channels": state_dict["means_hyper"].shape[1],
        "widths": [weight.shape[0] for weight in g_a[:-1]],
        "depths": _depths(state_dict),
        "context_depths_coarse": [blocks(f"context.net_coarse.{part}.") for part in ("before", "after")],
        "context_depths_fine": [blocks(f"context.net_fine.{part}.") for part in ("before", "after")],
        "cross_attention": blocks("context.attention.") > 0,
    }


def _convolutions(state_dict: Mapping[str, torch.Tensor], part: str) -> list[str]:
    """Weights of the resampling convolutions of a transform, in order: ``part.INDEX.weight``."""
    keys = [key for key in state_dict if key.startswith(f"{part}.") and key.count(".") == 2 and key.endswith(".weight")]
    return sorted(keys, key=lambda key: int(key.split(".")[1]))


def _depths(state_dict: Mapping[str, torch.Tensor]) -> list[int]:
    """Residual blocks between the convolutions of g_a."""
    places = [int(key.split(".")[1]) for key in _convolutions(state_dict, "g_a")]
    return [following - place - 1 for place, following in itertools.pairwise(places)]


def _check_multiple(name: str, value: int, multiple: int) -> None:
    if value <= 0 or value % multiple:
        raise ValueError(f"{name} must be a positive multiple of {multiple}, got {value}.")


def _check_length(name: str, values: Sequence[int], length: int) -> Sequence[int]:
    if len(values) != length:
        raise ValueError(f"{name} must hold {length} numbers, got {len(values)}: {list(values)}.")
    return values
