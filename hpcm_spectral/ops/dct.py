"""The orthonormal two-dimensional DCT-II as products with its basis, whole or band-limited, and filters in it."""

import math
from collections import OrderedDict
from typing import Any

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
# Of images that are filtered together on a CPU, so that what is between the products stays in its cache.
_FILTERED_BYTES = 3 * 2**19


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


def filter_2d(
    x: Float[torch.Tensor, "*batch H W"], weights: Float[torch.Tensor, "rows columns"]
) -> Float[torch.Tensor, "*batch H W"]:
    """Multiply the lowest frequencies by weights and drop all others, as ``idct_2d(weights * dct_2d(x, ...))`` does.

    In float32 or float64. A frequency of even number is the same forwards and backwards and one of odd number turns
    its sign, so that half of each product says all: of the sums and the differences of a line with its mirror image.

    Args:
        x: Images of any height and width.
        weights: One for each of the lowest vertical and horizontal frequencies, DC first.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = _working_precision(x)
        filtered = _Filter.apply(x.flatten(0, -3) if x.ndim > 2 else x[None], weights.to(x))
        return filtered.view(x.shape)


class _Filter(torch.autograd.Function):
    """Symmetric, so that its gradient is the filter of the incoming one."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weights)
        vertical, horizontal = _halves(x, x.shape[1], len(weights)), _halves(x, x.shape[2], weights.shape[1])
        parts = [[weights[u::2, v::2].contiguous() for v in (0, 1)] for u in (0, 1)]
        filtered = torch.empty_like(x, memory_format=torch.contiguous_format)
        together = (
            max(1, _FILTERED_BYTES // (x.shape[1] * x.shape[2] * x.element_size()))
            if x.device.type == "cpu"
            else max(1, len(x))
        )
        for images, out in zip(x.split(together), filtered.split(together), strict=True):
            _filter(images, vertical, horizontal, parts, out)
        return filtered

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        (weights,) = ctx.saved_tensors
        return _Filter.apply(grad_outputs[0], weights), None


def _filter(
    x: torch.Tensor,
    vertical: list[torch.Tensor],
    horizontal: list[torch.Tensor],
    weights: list[list[torch.Tensor]],
    out: torch.Tensor,
) -> None:
    """Filter images ``[N, H, W]`` into ``out``; every product turns them over, so that all mirrors are of rows."""
    height, width = x.shape[1:]
    even, odd = _fold(x)
    # As in dct_2d: the mean is taken out first and added last.
    mean = even.sum(dim=(1, 2), keepdim=True) / (height * width)
    even[:, : height // 2].sub_(2 * mean)
    even[:, height // 2 :].sub_(mean)
    halves = []
    for own, basis, of_rows in zip((even, odd), vertical, weights, strict=True):
        columns = _fold(_product(own.mT, basis.mT))
        filtered = [
            _product(part.mT, other.mT).mul_(weight).mT
            for part, other, weight in zip(columns, horizontal, of_rows, strict=True)
        ]
        sums, differences = (_product(o.mT, f) for o, f in zip(horizontal, filtered, strict=True))
        back = own.new_empty(len(x), width, len(basis))
        _unfold(sums, differences, back)
        halves.append(_product(basis.mT, back.mT))
    sums, differences = halves
    _unfold(sums.add_(mean * weights[0][0][0, 0]), differences, out)


def _halves(x: torch.Tensor, size: int, count: int) -> list[torch.Tensor]:
    """The first half of every even row and of every odd row of the basis, each with the middle where it is not zero."""
    basis = _cache.get(size, x.dtype, x.device)[:count]
    return [basis[0::2, : (size + 1) // 2].contiguous(), basis[1::2, : size // 2].contiguous()]


def _fold(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums and differences of rows with their mirror images; a middle row is a sum of its own."""
    size = x.shape[1]
    half = size // 2
    first, last = x[:, :half], x[:, size - half :].flip(1)
    odd = first - last
    even = last.add_(first)
    return (torch.cat((even, x[:, half : half + 1]), dim=1) if size % 2 else even), odd


def _unfold(even: torch.Tensor, odd: torch.Tensor, out: torch.Tensor) -> None:
    """Rows whose sums and differences with their mirror images are ``2 even`` and ``2 odd``."""
    size = out.shape[1]
    half = size // 2
    torch.add(even[:, :half], odd, out=out[:, :half])
    out[:, half : size - half] = even[:, half:]
    out[:, size - half :] = even[:, :half].sub_(odd).flip(1)


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Products of each image; ``matmul`` would copy those that are turned over."""
    count = max(len(side) for side in (left, right) if side.ndim == 3)
    return torch.bmm(*(side if side.ndim == 3 else side.expand(count, -1, -1) for side in (left, right)))


def _working_precision(x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype == torch.float64 else x.float()
