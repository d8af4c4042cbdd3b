"""The zero-mean generalised Gaussian of HPCM, in CompressAI's interface."""

import math
from typing import Any

import scipy.stats
import torch

from hpcm_spectral.entropy.tabled import TAIL_MASS, TabledConditional, log_scales

SCALE_MIN = 0.12
SCALE_MAX = 64.0
SCALE_LEVELS = 60


def get_scale_table() -> list[float]:
    """HPCM's 60 coding scales, logarithmic from 0.12 to 64."""
    return log_scales(SCALE_MIN, SCALE_MAX, SCALE_LEVELS)


class GeneralizedGaussianConditional(TabledConditional):
    """Likelihood of integer-spaced values under a zero-mean generalised Gaussian of shape beta.

    With ``F(v) = (1 + sign(v) P(1 / beta, |v|^beta)) / 2`` and P the regularised lower incomplete gamma function, the
    likelihood of ``v`` at scale ``s`` is ``F((v + 1/2) / s) - F((v - 1/2) / s)``, with s bounded below by 0.12 and the
    likelihood by 1e-9 (HPCM, arXiv 2507.19125). ``beta = 2`` is the Gaussian of standard deviation ``s / sqrt(2)``.

    Args:
        scale_table: Scales of the coding tables; None leaves them to ``update_scale_table``.
        beta: Shape, above 0; it has no gradient.
        scale_bound: Least scale.
        tail_mass: Probability that a coding table leaves to the escape symbol.
        kwargs: Passed on, such as ``likelihood_bound``.
    """

    def __init__(
        self,
        scale_table: list[float] | tuple[float, ...] | None = None,
        *,
        beta: float = 1.5,
        scale_bound: float = SCALE_MIN,
        tail_mass: float = TAIL_MASS,
        **kwargs: Any,
    ) -> None:
        super().__init__(scale_table, scale_bound=scale_bound, tail_mass=tail_mass, **kwargs)
        self.beta = beta

    def _standardized_cumulative(self, inputs: torch.Tensor) -> torch.Tensor:
        return _GeneralizedGaussianCdf.apply(inputs, self.beta)

    def _standard_distribution(self) -> Any:
        return scipy.stats.gennorm(self.beta)


class _GeneralizedGaussianCdf(torch.autograd.Function):
    """``F(v)`` with its density as gradient, which automatic differentiation cannot give at v = 0."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, beta: float) -> torch.Tensor:
        ctx.save_for_backward(v)
        ctx.beta = beta
        # The upper function keeps its relative precision in the tail, where 1 - P would be rounding noise.
        tail = 0.5 * torch.special.gammaincc(v.new_full((), 1 / beta), v.abs().pow(beta))
        return torch.where(v > 0, 1 - tail, tail)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        (v,) = ctx.saved_tensors
        beta = ctx.beta
        density = torch.exp(-v.abs().pow(beta)) * (beta / (2 * math.gamma(1 / beta)))
        return grad_outputs[0] * density, None
