"""What phase 1 costs: band-limited truncation against the dense form of the paper's equation, side by side."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float

from hpcm_spectral.benchmarks.turns import seconds_in_turns
from hpcm_spectral.ops import dct_basis
from hpcm_spectral.stages import truncate
from hpcm_spectral.tables import text_table

Images = Float[torch.Tensor, "B 3 size size"]
# The paper's linear schedule, sampled.
TAU_VALUES = tuple(np.linspace(0.05, 1.0, 20).tolist())


@dataclass(frozen=True)
class DctBenchmark:
    """Times of one image batch, per cutoff.

    Args:
        batch: Images of a batch.
        size: Their height and width.
        device: Where they were computed.
        tau_values: Cutoffs.
        truncation_seconds: Median time of ``stages.truncate`` per cutoff.
        dense_seconds: Median time of the dense form per cutoff.
        largest_difference: Largest absolute difference between the two results, over all cutoffs.
    """

    batch: int
    size: int
    device: str
    tau_values: tuple[float, ...]
    truncation_seconds: tuple[float, ...]
    dense_seconds: tuple[float, ...]
    largest_difference: float

    @property
    def ratios(self) -> tuple[float, ...]:
        """Time of the truncation as a share of the dense form's, per cutoff."""
        return tuple(own / dense for own, dense in zip(self.truncation_seconds, self.dense_seconds, strict=True))

    @property
    def mean_ratio(self) -> float:
        """Mean of the ratios: over equally spaced cutoffs, the cost of a linear schedule."""
        return statistics.fmean(self.ratios)

    def table(self) -> str:
        """The figures as text, one cutoff per line, their mean at the end."""
        names = [*(f"{tau:.3f}" for tau in self.tau_values), "mean"]
        columns = [[*values, statistics.fmean(values)] for values in (self.truncation_seconds, self.dense_seconds)]
        figures = zip(names, *columns, [*self.ratios, self.mean_ratio], strict=True)
        rows = [(name, f"{1e3 * own:.3f}", f"{1e3 * dense:.3f}", f"{ratio:.2f}") for name, own, dense, ratio in figures]
        title = f"DCT truncation of {self.batch}x3x{self.size}x{self.size} on {self.device}, medians in ms"
        return f"{title}\n{text_table(('tau', 'band-limited', 'dense', 'ratio'), rows, words=0)}"


def truncation_cost(
    batch: int = 16,
    size: int = 256,
    tau_values: Sequence[float] = TAU_VALUES,
    repeats: int = 15,
    *,
    device: str = "cpu",
) -> DctBenchmark:
    """Time ``stages.truncate`` (soft mask) and the dense form of eq. 4, forward only, without gradients.

    The dense form multiplies by four whole bases and by a whole mask, all made beforehand in float32. The two
    take turns, so that a change of the machine's load meets both; the first calls are not timed.

    Args:
        batch: Images of three channels.
        size: Their height and width.
        tau_values: Cutoffs; by default 20 of the paper's linear schedule from 0.05 to 1.
        repeats: Timed calls per cutoff and form, at least 1.
        device: ``cpu`` or a CUDA device.

    Raises:
        ValueError: ``repeats`` is below 1 or there is no cutoff.
    """
    if not tau_values:
        raise ValueError("tau_values must hold at least one cutoff, got none.")
    x = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    basis = dct_basis(size).float().to(device)

    medians: dict[str, list[float]] = {"own": [], "dense": []}
    difference = 0.0
    with torch.no_grad():
        for tau in tau_values:
            mask = _soft_mask(size, tau).to(device)
            own, dense = partial(truncate, x, tau), partial(dense_truncation, x, basis, mask)
            difference = max(difference, (own() - dense()).abs().max().item())
            for form, times in seconds_in_turns({"own": own, "dense": dense}, x.device, repeats).items():
                medians[form].append(statistics.median(times))
    own_medians, dense_medians = tuple(medians["own"]), tuple(medians["dense"])
    return DctBenchmark(batch, size, str(x.device), tuple(tau_values), own_medians, dense_medians, difference)


def dense_truncation(
    x: Images, basis: Float[torch.Tensor, "size size"], mask: Float[torch.Tensor, "size size"]
) -> Images:
    """``P^T (M * (P X P^T)) P`` with whole matrices."""
    coefficients = basis @ (x @ basis.T)
    return (basis.T @ (coefficients * mask)) @ basis


def _soft_mask(size: int, tau: float) -> Float[torch.Tensor, "size size"]:
    frequency = torch.arange(size, dtype=torch.float64) / size
    r = torch.sqrt(frequency[:, None] ** 2 + frequency[None, :] ** 2)
    return torch.clamp((tau - r) / tau, min=0).float()
