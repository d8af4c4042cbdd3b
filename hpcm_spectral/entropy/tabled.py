"""What the probability models share: likelihoods in float32, and coding tables that are the same everywhere."""

import math
from typing import Any

import numpy as np
import torch
from compressai.entropy_models import GaussianConditional
from compressai.entropy_models.entropy_models import pmf_to_quantized_cdf
from jaxtyping import Float, Int

TAIL_MASS = 1e-6


def log_scales(lowest: float, highest: float, count: int) -> list[float]:
    """``count`` coding scales in a geometric row."""
    return torch.linspace(math.log(lowest), math.log(highest), count, dtype=torch.float64).exp().tolist()


class TabledConditional(GaussianConditional):
    """A symmetric distribution of zero mean and variable scale over integer-spaced values.

    The forward pass and the quantiser are those of CompressAI's ``GaussianConditional``; so is the form of the coding
    tables, which are computed in float64 by SciPy, so that every device and thread count gives the same.
    """

    def _standard_distribution(self) -> Any:
        """The distribution at scale 1, as SciPy knows it."""
        raise NotImplementedError

    _coding_tables: tuple[list[tuple[torch.Tensor, int]], tuple[list[list[int]], list[int], list[int]]] | None = None

    # CompressAI declares this a static method; here it depends on the distribution.
    def _standardized_quantile(self, quantile: float) -> float:
        return float(self._standard_distribution().ppf(quantile))

    def likelihood(
        self, values: Float[torch.Tensor, "*shape"], scales: Float[torch.Tensor, "*shape"]
    ) -> Float[torch.Tensor, "*shape"]:
        """Probability of ``values`` (already without their mean) at ``scales``, at least the likelihood bound.

        Works in float32, under autocast too.
        """
        with torch.autocast(values.device.type, enabled=False):
            likelihood = self._likelihood(values.float(), scales.float())
            return self.likelihood_lower_bound(likelihood) if self.use_likelihood_bound else likelihood

    def training_likelihood(
        self, values: Float[torch.Tensor, "*shape"], scales: Float[torch.Tensor, "*shape"]
    ) -> Float[torch.Tensor, "*shape"]:
        """What training descends in place of :meth:`likelihood`; here the same."""
        return self.likelihood(values, scales)

    def update(self) -> None:
        """Compute the coding tables from ``scale_table``: 16-bit cumulative frequencies, an escape symbol last."""
        distribution = self._standard_distribution()
        table = self.scale_table.double().cpu().numpy()
        centers = np.ceil(-self._standardized_quantile(self.tail_mass / 2) * table).astype(np.int64)
        lengths = 2 * centers + 1
        cdf = torch.zeros(len(table), int(lengths.max()) + 2, dtype=torch.int32)
        for row, (scale, center) in enumerate(zip(table, centers, strict=True)):
            edges = (np.arange(-center, center + 2) - 0.5) / scale
            # By symmetry both halves come from the lower tail, which keeps its relative precision.
            lower = distribution.cdf(-np.abs(edges))
            below = np.where(edges > 0, 1 - lower, lower)
            inner = np.where(edges[1:] <= 0, np.diff(below), np.where(edges[:-1] >= 0, -np.diff(lower), np.diff(below)))
            escape = 2 * lower[0]
            quantized = pmf_to_quantized_cdf(torch.tensor([*inner, escape]), self.entropy_coder_precision)
            cdf[row, : len(quantized)] = quantized
        device = self.scale_table.device
        self._quantized_cdf = cdf.to(device)
        self._offset = torch.from_numpy(-centers).int().to(device)
        self._cdf_length = torch.from_numpy(lengths + 2).int().to(device)

    def coding_tables(self) -> tuple[list[list[int]], list[int], list[int]]:
        """The tables as the rANS coder takes them, made once: cumulative frequencies, their numbers, offsets.

        The coder converts all it is given at every call, so that rows end where their frequencies do.
        """
        tensors = self._quantized_cdf, self._cdf_length, self._offset
        # Loading weights and updating replace tables, or change them in place.
        state = [(tensor, -1 if tensor.is_inference() else tensor._version) for tensor in tensors]
        known = self._coding_tables
        if known is None or any(a is not b or v != w for (a, v), (b, w) in zip(known[0], state, strict=True)):
            cdf, lengths, offsets = (tensor.tolist() for tensor in tensors)
            rows = [row[:length] for row, length in zip(cdf, lengths, strict=True)]
            self._coding_tables = known = state, (rows, lengths, offsets)
        return known[1]

    def build_indexes(self, scales: Float[torch.Tensor, "*shape"]) -> Int[torch.Tensor, "*shape"]:
        """For each scale the row of the tables with the smallest scale that is not below it, or the last row."""
        return torch.bucketize(scales.float().contiguous(), self.scale_table, out_int32=True).clamp_(
            max=len(self.scale_table) - 1
        )
