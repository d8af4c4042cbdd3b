"""The Gaussian of hierarchical codecs, with likelihoods that training can descend anywhere."""

import math
from typing import Any

import scipy.stats
import torch
from jaxtyping import Float, Int

from hpcm_spectral.entropy.tabled import TAIL_MASS, TabledConditional, log_scales

SCALE_MIN, SCALE_MAX, SCALE_LEVELS = 0.11, 20.0, 64
LIKELIHOOD_MIN = 1e-9
# Of training: below the first the density takes the place of the bin's probability, whose logarithm is kept finite
# by the second. The third is close to the least number of float32.
DENSITY_BELOW, BIN_MIN, SHOWN_MIN = 1e-6, 1e-8, 1e-37


class DiscretizedGaussian(TabledConditional):
    """Likelihood of integer-spaced values under a zero-mean Gaussian.

    It is CompressAI's: the probability of the bin ``[v - 1/2, v + 1/2]``, with the standard deviation bounded below by
    0.11 and the likelihood by 1e-9. In training neither is bounded: where the bin's probability is below 1e-6 the
    density takes its place, whose logarithm has a gradient however far the value lies (DHIC, ICLR 2026). Such a
    likelihood is never shown as less than 1e-37; its gradient is that of what it stands for.
    """

    def __init__(self, **kwargs: Any) -> None:
        options = {"scale_bound": SCALE_MIN, "tail_mass": TAIL_MASS, "likelihood_bound": LIKELIHOOD_MIN, **kwargs}
        super().__init__(None, **options)

    def _standard_distribution(self) -> Any:
        return scipy.stats.norm

    @staticmethod
    def scales() -> list[float]:
        """The 64 coding scales of the published codec, logarithmic from 0.11 to 20."""
        return log_scales(SCALE_MIN, SCALE_MAX, SCALE_LEVELS)

    def training_likelihood(
        self, values: Float[torch.Tensor, "*shape"], scales: Float[torch.Tensor, "*shape"]
    ) -> Float[torch.Tensor, "*shape"]:
        """See the class, and :class:`TabledConditional`; ``scales`` are standard deviations."""
        with torch.autocast(values.device.type, enabled=False):
            values, scales = values.float().abs(), scales.float()
            # Both ends in the lower tail, which keeps its relative precision.
            upper, lower = (0.5 * torch.erfc((edge + values) / (scales * math.sqrt(2))) for edge in (-0.5, 0.5))
            inside = upper - lower
            log_bin = inside.clamp(min=BIN_MIN).log()
            log_density = -0.5 * (values / scales).square() - scales.log() - 0.5 * math.log(2 * math.pi)
            return _Shown.apply(torch.where(inside > DENSITY_BELOW, log_bin, log_density))

    def build_indexes(self, scales: Float[torch.Tensor, "*shape"]) -> Int[torch.Tensor, "*shape"]:
        """For each scale the row of the tables with the nearest one, by their ratio.

        A scale that is wrong by a share e costs about e^2 nats per value. CompressAI's next larger scale, of 64 that
        are 9 % apart, would cost four times as much as the nearest: a few tenths of a per cent of a file.
        """
        between = (self.scale_table[1:] * self.scale_table[:-1]).sqrt()
        return torch.bucketize(scales.float().contiguous(), between, out_int32=True)


class _Shown(torch.autograd.Function):
    """The exponential of a log-likelihood, kept above zero with the gradient that it would have."""

    @staticmethod
    def forward(ctx: Any, log_likelihood: torch.Tensor) -> torch.Tensor:
        shown = log_likelihood.exp().clamp(min=SHOWN_MIN)
        ctx.save_for_backward(shown)
        return shown

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> torch.Tensor:
        (shown,) = ctx.saved_tensors
        return grad_outputs[0] * shown
