"""The DCT against SciPy's, and the cache of its bases."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import numpy as np
import pytest
import scipy.fft
import torch

from hpcm_spectral.ops import BasisCache, dct_2d, dct_basis, filter_2d, idct_2d

SIZES = [(64, 64), (128, 128), (256, 256), (512, 512), (65, 65), (257, 257), (48, 80), (65, 257), (1, 7)]
CPU = torch.device("cpu")


def noise(height: int, width: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Zero-mean: no large DC coefficient behind which an error could hide."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64).to(dtype)


def scipy_dct(x: torch.Tensor) -> np.ndarray:
    return scipy.fft.dctn(x.double().numpy(), type=2, norm="ortho", axes=(-2, -1))


def scipy_idct(f: torch.Tensor) -> np.ndarray:
    return scipy.fft.idctn(f.double().numpy(), type=2, norm="ortho", axes=(-2, -1))


def relative_error(result: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.abs(result.double().numpy() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_transforms_agree_with_scipy(height: int, width: int, dtype: torch.dtype, tolerance: float) -> None:
    x = noise(height, width, dtype)

    coefficients, images = dct_2d(x), idct_2d(x)

    assert coefficients.dtype == images.dtype == dtype
    assert relative_error(coefficients, scipy_dct(x)) < tolerance
    assert relative_error(images, scipy_idct(x)) < tolerance


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_float64_images_are_exact_to_1e_13(height: int, width: int) -> None:
    x = torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    coefficients = torch.from_numpy(scipy_dct(x))

    assert np.abs(idct_2d(coefficients).numpy() - x.numpy()).max() < 1e-13
    assert (idct_2d(dct_2d(x)) - x).abs().max() < 1e-13


def test_any_number_of_leading_axes() -> None:
    x = noise(8, 12)[0, 0]

    for shape in ((8, 12), (1, 8, 12), (1, 1, 1, 8, 12)):
        assert relative_error(dct_2d(x.reshape(shape)), scipy_dct(x).reshape(shape)) < 1e-13


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 19), (65, 2), (65, 40)])
def test_band_limited_transform_is_the_corner_of_the_whole_one(rows: int, columns: int) -> None:
    x = noise(65, 40)
    whole = scipy_dct(x)

    corner = dct_2d(x, rows=rows, columns=columns)

    assert corner.shape == (2, 3, rows, columns)
    assert np.abs(corner.numpy() - whole[..., :rows, :columns]).max() < 1e-13 * np.abs(whole).max()


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 1), (3, 8), (65, 40), (64, 39)])
@pytest.mark.parametrize(("height", "width"), [(65, 40), (70, 41)])
def test_a_filter_multiplies_the_lowest_frequencies_and_drops_the_others(
    height: int, width: int, rows: int, columns: int
) -> None:
    x = noise(height, width) + 100
    weights = torch.rand(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    kept = np.zeros(x.shape)
    kept[..., :rows, :columns] = scipy_dct(x)[..., :rows, :columns] * weights.numpy()

    filtered = filter_2d(x, weights)

    assert relative_error(filtered, scipy_idct(torch.from_numpy(kept))) < 1e-13
    assert relative_error(filter_2d(x[0, 0], weights), filtered[0, 0].numpy()) < 1e-13
    for shape in ((0, 3, 8, 8), (3, 1, 1), (2, 1, 5), (2, 5, 1)):
        assert filter_2d(torch.ones(shape), torch.ones(1, 1)).equal(torch.ones(shape))


def test_filtering_many_images_is_filtering_each() -> None:
    x = torch.rand(9, 3, 96, 160, generator=torch.Generator().manual_seed(4))
    weights = torch.rand(50, 70, generator=torch.Generator().manual_seed(5))

    together = filter_2d(x, weights)

    for image, filtered in zip(x, together, strict=True):
        torch.testing.assert_close(filter_2d(image, weights), filtered, rtol=0, atol=1e-6)
    laid_out = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(filter_2d(laid_out, weights), together)


def test_missing_frequencies_count_as_zero_in_the_inverse() -> None:
    corner = noise(5, 9)
    padded = torch.zeros(2, 3, 33, 20, dtype=torch.float64)
    padded[..., :5, :9] = corner

    images = idct_2d(corner, height=33, width=20)

    assert relative_error(images, scipy_idct(padded)) < 1e-13


@pytest.mark.parametrize("size", [1, 2, 64, 65, 512, 2048])
def test_basis_is_orthonormal_in_double_precision(size: int) -> None:
    basis = dct_basis(size)[: min(size, 600)]

    assert basis.dtype == torch.float64
    assert (basis @ basis.T - torch.eye(len(basis), dtype=torch.float64)).abs().max() < 1e-13


def test_float32_basis_is_the_rounded_double_one() -> None:
    # Cosines of single-precision arguments would be off by up to 1e-5 here.
    k, n = np.mgrid[0:512, 0:512].astype(np.float64)
    exact = np.sqrt(2 / 512) * np.cos(np.pi * (2 * n + 1) * k / 1024)
    exact[0] = np.sqrt(1 / 512)

    basis = BasisCache().get(512, torch.float32, CPU)

    assert np.abs(basis.double().numpy() - exact).max() < 2.0**-28 * 1.001  # half an ulp of values below 1/16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_lower_the_precision(dtype: torch.dtype) -> None:
    x = noise(64, 64, dtype)

    with torch.autocast("cpu", torch.bfloat16):
        coefficients = dct_2d(x)
        images = idct_2d(coefficients)

    assert coefficients.dtype == images.dtype == torch.float32
    assert relative_error(coefficients, scipy_dct(x)) < 1e-6
    assert relative_error(images, x.double().numpy()) < 1e-6


def test_half_precision_input_is_computed_in_float32() -> None:
    x = noise(64, 64, torch.bfloat16)

    assert dct_2d(x).dtype == torch.float32
    assert relative_error(dct_2d(x), scipy_dct(x)) < 1e-6


def test_gradients() -> None:
    x = noise(5, 6)[:1, :1].requires_grad_()

    assert torch.autograd.gradcheck(dct_2d, x)
    assert torch.autograd.gradcheck(lambda t: dct_2d(t, rows=2, columns=3), x)
    assert torch.autograd.gradcheck(lambda t: idct_2d(t, height=9, width=7), x)
    weights = torch.rand(3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: filter_2d(t, weights), x)
    assert torch.autograd.gradgradcheck(lambda t: filter_2d(t, weights), x)


def test_basis_first_made_under_inference_mode_serves_training() -> None:
    size = 173  # no other test uses it, so this is its first use
    with torch.inference_mode():
        dct_2d(torch.ones(1, size, size))
    x = torch.ones(1, size, size, requires_grad=True)

    dct_2d(x).square().sum().backward()

    assert x.grad is not None
    assert torch.allclose(x.grad, 2 * x.detach(), atol=1e-4)  # an orthonormal transform keeps the energy


class TestBasisCache:
    BYTES_OF_16 = 16 * 16 * 4

    def get(self, cache: BasisCache, size: int) -> torch.Tensor:
        return cache.get(size, torch.float32, CPU)

    def test_returns_the_same_tensor_again(self) -> None:
        cache = BasisCache()

        assert self.get(cache, 16) is self.get(cache, 16)
        assert cache.bytes == self.BYTES_OF_16

    def test_keeps_precisions_apart(self) -> None:
        cache = BasisCache()

        assert self.get(cache, 16).dtype == torch.float32
        assert cache.get(16, torch.float64, CPU).dtype == torch.float64
        assert cache.bytes == 3 * self.BYTES_OF_16

    def test_budget_is_never_exceeded(self) -> None:
        cache = BasisCache(max_bytes=5000)

        for size in (16, 20, 24, 8, 30, 35, 36, 16, 4):
            self.get(cache, size)
            assert cache.bytes <= 5000

    def test_a_budget_that_is_met_exactly_evicts_nothing(self) -> None:
        cache = BasisCache(max_bytes=3 * self.BYTES_OF_16)
        first = self.get(cache, 16)

        cache.get(16, torch.float64, CPU)

        assert self.get(cache, 16) is first

    def test_the_least_recently_used_goes_first(self) -> None:
        cache = BasisCache(max_bytes=(16 * 16 + 15 * 15 + 14 * 14) * 4)
        oldest, used_again, newest = (self.get(cache, size) for size in (16, 15, 14))
        self.get(cache, 16)  # now 15 is the one that was not used for longest

        self.get(cache, 13)

        assert self.get(cache, 16) is oldest
        assert self.get(cache, 14) is newest
        assert self.get(cache, 15) is not used_again

    def test_one_larger_than_the_budget_is_computed_but_never_kept(self) -> None:
        cache = BasisCache(max_bytes=2000)
        small = self.get(cache, 16)

        large = self.get(cache, 64)

        assert torch.allclose(large, dct_basis(64).float())
        assert self.get(cache, 64) is not large
        assert self.get(cache, 16) is small, "a basis that is not kept must not push out one that is"
        assert cache.bytes == self.BYTES_OF_16
