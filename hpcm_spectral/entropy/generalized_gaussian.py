"""The zero-mean generalised Gaussian of HPCM, in CompressAI's interface."""

import math
from typing import Any

import numpy as np
import scipy.stats
import torch
from compressai.entropy_models import GaussianConditional
from compressai.entropy_models.entropy_models import pmf_to_quantized_cdf
from jaxtyping import Float, Int

SCALE_MIN = 0.12
SCALE_MAX = 64.0
SCALE_LEVELS = 60
TAIL_MASS = 1e-6


def get_scale_table() -> list[float]:
    """HPCM's 60 coding scales, logarithmic from 0.12 to 64."""
    table = torch.linspace(math.log(SCALE_MIN), math.log(SCALE_MAX), SCALE_LEVELS, dtype=torch.float64)
    return table.exp().tolist()


class GeneralizedGaussianConditional(GaussianConditional):
    """Likelihood of integer-spaced values under a zero-mean generalised Gaussian of shape beta.

    With ``F(v) = (1 + sign(v) P(1 / beta, |v|^beta)) / 2`` and P the regularised lower incomplete gamma function, the
    likelihood of ``v`` at scale ``s`` is ``F((v + 1/2) / s) - F((v - 1/2) / s)``, with s bounded below by 0.12 and the
    likelihood by 1e-9 (HPCM, arXiv 2507.19125). ``beta = 2`` is the Gaussian of standard deviation ``s / sqrt(2)``.

    The forward pass and the quantiser are those of CompressAI's ``GaussianConditional``; so is the form of the coding
    tables, which are computed in float64 by SciPy, so that every device and thread count gives the same.

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

    # CompressAI declares this a static method; here it depends on beta.
    def _standardized_quantile(self, quantile: float) -> float:
        return float(scipy.stats.gennorm.ppf(quantile, self.beta))

    def likelihood(
        self, values: Float[torch.Tensor, "*shape"], scales: Float[torch.Tensor, "*shape"]
    ) -> Float[torch.Tensor, "*shape"]:
        """Probability of ``values`` (already without their mean) at ``scales``, at least the likelihood bound.

        Works in float32, under autocast too.
        """
        with torch.autocast(values.device.type, enabled=False):
            likelihood = self._likelihood(values.float(), scales.float())
            return self.likelihood_lower_bound(likelihood) if self.use_likelihood_bound else likelihood

    def update(self) -> None:
        """Compute the coding tables from ``scale_table``: 16-bit cumulative frequencies, an escape symbol last."""
        table = self.scale_table.double().cpu().numpy()
        centers = np.ceil(-self._standardized_quantile(self.tail_mass / 2) * table).astype(np.int64)
        lengths = 2 * centers + 1
        cdf = torch.zeros(len(table), int(lengths.max()) + 2, dtype=torch.int32)
        for row, (scale, center) in enumerate(zip(table, centers, strict=True)):
            edges = (np.arange(-center, center + 2) - 0.5) / scale
            # By symmetry both halves come from the lower tail, which keeps its relative precision.
            lower = scipy.stats.gennorm.cdf(-np.abs(edges), self.beta)
            below = np.where(edges > 0, 1 - lower, lower)
            inner = np.where(edges[1:] <= 0, np.diff(below), np.where(edges[:-1] >= 0, -np.diff(lower), np.diff(below)))
            escape = 2 * lower[0]
            quantized = pmf_to_quantized_cdf(torch.tensor([*inner, escape]), self.entropy_coder_precision)
            cdf[row, : len(quantized)] = quantized
        device = self.scale_table.device
        self._quantized_cdf = cdf.to(device)
        self._offset = torch.from_numpy(-centers).int().to(device)
        self._cdf_length = torch.from_numpy(lengths + 2).int().to(device)

    def build_indexes(self, scales: Float[torch.Tensor, "*shape"]) -> Int[torch.Tensor, "*shape"]:
        """For each scale the row of the tables with the smallest scale that is not below it, or the last row."""
        return torch.bucketize(scales.float().contiguous(), self.scale_table, out_int32=True).clamp_(
            max=len(self.scale_table) - 1
        )


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
