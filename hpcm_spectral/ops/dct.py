"""The orthonormal two-dimensional DCT-II as products with its basis, whole or band-limited."""

import math
from collections import OrderedDict

import torch
from jaxtyping import Float


def dct_basis(size: int) -> Float[torch.Tensor, "size size"]:
    """Orthonormal DCT-II basis ``P[k, n] = a(k) cos(pi (2n + 1) k / (2 size))`` in float64 on the CPU.

    Each row is a frequency of ``size`` samples, at least 1; ``P @ P.T`` is the identity.

    Example:
        >>> P = dct_basis(8)
        >>> torch.allclose(P @ P.T, torch.eye(8, dtype=torch.float64))
        True
    """
    k = torch.arange(size, dtype=torch.int64)[:, None]
    n = torch.arange(size, dtype=torch.int64)[None, :]
    # Reducing the phase as an integer keeps the argument of the cosine small and so its error.
    phase = ((2 * n + 1) * k) % (4 * size)
    basis = torch.cos(phase.double() * (torch.pi / (2 * size))) * (2.0 / size) ** 0.5
    basis[0] = (1.0 / size) ** 0.5
    return basis


class BasisCache:
    """DCT bases by size, precision and device, least recently used first out.

    Args:
        max_bytes: Bases are kept while their total stays below this; a single larger one is computed each time.
    """

    def __init__(self, max_bytes: int = 32 * 2**20) -> None:
        self.max_bytes = max_bytes
        self._bases: OrderedDict[tuple[int, torch.dtype, torch.device], torch.Tensor] = OrderedDict()

    def get(self, size: int, dtype: torch.dtype, device: torch.device) -> Float[torch.Tensor, "size size"]:
        """The basis of ``size`` samples, computed in float64 and cast to ``dtype`` on ``device``."""
        key = (size, dtype, device)
        basis = self._bases.pop(key, None)
        if basis is None:
            # A basis made under inference_mode could not take part in a later training step.
            with torch.inference_mode(False):
                basis = dct_basis(size).to(device=device, dtype=dtype)
        if basis.nbytes <= self.max_bytes:
            self._bases[key] = basis
            while self.bytes > self.max_bytes:
                self._bases.popitem(last=False)
        return basis

    @property
    def bytes(self) -> int:
        """Memory held at present."""
        return sum(basis.nbytes for basis in self._bases.values())


_cache = BasisCache()


def dct_2d(
    x: Float[torch.Tensor, "*batch H W"], *, rows: int | None = None, columns: int | None = None
) -> Float[torch.Tensor, "*batch rows columns"]:
    """Orthonormal DCT-II over the last two axes, of the lowest frequencies only if asked.

    Computed in float64 for float64 input and in float32 for any other, under autocast too.

    Args:
        x: Images of any height and width.
        rows: Number of vertical frequencies to compute, lowest first; all by default.
        columns: Number of horizontal frequencies, likewise.

    Returns:
        Coefficients, DC first, as float32 or float64.

    Example:
        >>> dct_2d(torch.ones(1, 4, 4))[0, 0, 0].item()
        4.0
    """
    height, width = x.shape[-2:]
    with torch.autocast(x.device.type, enabled=False):
        x = _working_precision(x)
        vertical = _cache.get(height, x.dtype, x.device)[:rows]
        horizontal = _cache.get(width, x.dtype, x.device)[:columns]
        # Most of an image is its mean; taken out first, it does not round off the sums of everything else.
        mean = x.mean(dim=(-2, -1), keepdim=True)
        coefficients = vertical @ ((x - mean) @ horizontal.T)
        coefficients[..., :1, :1] = mean * math.sqrt(height * width)
        return coefficients


def idct_2d(
    coefficients: Float[torch.Tensor, "*batch rows columns"], *, height: int | None = None, width: int | None = None
) -> Float[torch.Tensor, "*batch H W"]:
    """Inverse of :func:`dct_2d`, in float32 or float64; frequencies that are not given count as zero.

    The image has as many rows and columns as there are coefficients, unless ``height`` or ``width`` says otherwise.
    """
    rows, columns = coefficients.shape[-2:]
    with torch.autocast(coefficients.device.type, enabled=False):
        coefficients = _working_precision(coefficients)
        vertical = _cache.get(height or rows, coefficients.dtype, coefficients.device)[:rows]
        horizontal = _cache.get(width or columns, coefficients.dtype, coefficients.device)[:columns]
        # As in dct_2d: the mean is added last.
        mean = coefficients[..., :1, :1] / math.sqrt(vertical.shape[1] * horizontal.shape[1])
        others = coefficients.clone()
        others[..., 0, 0] = 0
        return ((vertical.T @ others) @ horizontal).add_(mean)


def _working_precision(x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype == torch.float64 else x.float()
