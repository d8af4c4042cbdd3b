"""What phase 1 costs: band-limited truncation against the dense form of the paper's equation, side by side."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float

from hpcm_spectral.ops import dct_basis
from hpcm_spectral.ops.devices import synchronize
from hpcm_spectral.stages import truncate
from hpcm_spectral.tables import text_table

Images = Float[torch.Tensor, "B 3 size size"]


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
        own, dense = statistics.fmean(self.truncation_seconds), statistics.fmean(self.dense_seconds)
        figures = [
            *zip(self.tau_values, self.truncation_seconds, self.dense_seconds, self.ratios, strict=True),
            ("mean", own, dense, self.mean_ratio),
        ]
        rows = [
            (tau if isinstance(tau, str) else f"{tau:.3f}", f"{1e3 * own:.3f}", f"{1e3 * dense:.3f}", f"{ratio:.2f}")
            for tau, own, dense, ratio in figures
        ]
        title = f"DCT truncation of {self.batch}x3x{self.size}x{self.size} on {self.device}, medians in ms"
        return f"{title}\n{text_table(('tau', 'band-limited', 'dense', 'ratio'), rows, words=0)}"


def linear_tau_values(count: int = 20, tau_init: float = 0.05, tau_final: float = 1.0) -> tuple[float, ...]:
    """Equally spaced cutoffs from ``tau_init`` to ``tau_final``: a linear schedule, sampled.

    Args:
        count: How many, at least 2.
        tau_init: The first.
        tau_final: The last.

    Example:
        >>> linear_tau_values(3, 0.25, 0.75)
        (0.25, 0.5, 0.75)
    """
    return tuple(tau_init + (tau_final - tau_init) * i / (count - 1) for i in range(count))


def truncation_cost(
    batch: int = 16,
    size: int = 256,
    tau_values: Sequence[float] | None = None,
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
    tau_values = linear_tau_values() if tau_values is None else tuple(tau_values)
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}.")
    if not tau_values:
        raise ValueError("tau_values must hold at least one cutoff, got none.")
    x = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    basis = dct_basis(size).float().to(device)

    own_seconds, dense_seconds, difference = [], [], 0.0
    with torch.no_grad():
        for tau in tau_values:
            mask = _soft_mask(size, tau).to(device)
            for _ in range(2):
                own, dense = truncate(x, tau), dense_truncation(x, basis, mask)
            difference = max(difference, (own - dense).abs().max().item())
            pairs = [(_seconds(truncate, x, tau), _seconds(dense_truncation, x, basis, mask)) for _ in range(repeats)]
            own_seconds.append(statistics.median(own for own, _ in pairs))
            dense_seconds.append(statistics.median(dense for _, dense in pairs))
    return DctBenchmark(batch, size, str(x.device), tau_values, tuple(own_seconds), tuple(dense_seconds), difference)


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


def _seconds(function: Callable[..., torch.Tensor], x: torch.Tensor, *arguments: object) -> float:
    synchronize(x.device)
    start = time.perf_counter()
    function(x, *arguments)
    synchronize(x.device)
    return time.perf_counter() - start
