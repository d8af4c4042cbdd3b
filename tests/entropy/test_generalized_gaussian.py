"""The generalised Gaussian against SciPy's, its gradients and its coding tables."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import math

import numpy as np
import pytest
import scipy.stats
import torch
from compressai.entropy_models import GaussianConditional

from hpcm_spectral.entropy import EstimatingCoder, GeneralizedGaussianConditional, get_scale_table

SCALES = (0.12, 0.3, 1.0, 3.7, 16.0, 64.0)


@pytest.fixture
def model() -> GeneralizedGaussianConditional:
    return GeneralizedGaussianConditional()


def exact(values: np.ndarray, scales: np.ndarray | float, beta: float = 1.5) -> np.ndarray:
    """Difference of SciPy's cumulative function, on the negative side, where it does not saturate at one."""
    magnitude = -np.abs(values)
    upper = scipy.stats.gennorm.cdf((magnitude + 0.5) / scales, beta)
    return upper - scipy.stats.gennorm.cdf((magnitude - 0.5) / scales, beta)


def far_tail(scale: float) -> np.ndarray:
    """Values from 0 to where the likelihood has fallen to about 1e-12, both signs."""
    reach = scale * scipy.stats.gennorm.isf(1e-12, 1.5) + 2
    return np.concatenate([np.linspace(0, reach, 301), -np.linspace(0, reach, 301), [1.0, -1.0, 0.5, -0.5]])


@pytest.mark.parametrize("scale", SCALES)
def test_float32_likelihood_agrees_with_scipy(scale: float, model: GeneralizedGaussianConditional) -> None:
    values = torch.from_numpy(far_tail(scale)).float()
    scales = torch.full_like(values, scale)

    likelihood = model.likelihood(values, scales)

    assert likelihood.dtype == torch.float32
    expected = np.maximum(exact(values.double().numpy(), scales.double().numpy()), 1e-9)
    error = np.abs(likelihood.double().numpy() - expected) / expected
    assert (expected < 1e-8).any()
    # At scale 64 the two cumulative values agree in seven bits, which costs as many of float32's 24.
    assert error[expected > 1e-4].max() < 1e-4
    assert error.max() < 3e-4


@pytest.mark.parametrize("scale", SCALES)
def test_float64_likelihood_agrees_with_scipy_without_bound(scale: float) -> None:
    model = GeneralizedGaussianConditional(likelihood_bound=0.0)
    values = torch.from_numpy(far_tail(scale))
    scales = torch.full_like(values, scale).clamp(min=0.12000000477)  # the bound is a float32 buffer

    likelihood = model._likelihood(values, scales)

    expected = exact(values.numpy(), scales.numpy())
    assert (np.abs(likelihood.numpy() - expected) < 1e-8 * expected + 1e-17).all()


def test_bounds(model: GeneralizedGaussianConditional) -> None:
    values = torch.tensor([0.0, 0.0, 1000.0, -1000.0])
    scales = torch.tensor([0.01, -5.0, 0.01, 1.0])

    likelihood = model.likelihood(values, scales)

    assert likelihood[0] == likelihood[1] == model.likelihood(torch.zeros(1), torch.full((1,), 0.12))[0]
    assert likelihood[2:].tolist() == pytest.approx([1e-9, 1e-9], rel=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_sums_to_one_over_the_integers(scale: float, model: GeneralizedGaussianConditional) -> None:
    for offset in (0.0, 0.37):
        values = torch.arange(-600, 601, dtype=torch.float64) + offset

        assert model._likelihood(values, torch.full_like(values, scale)).sum().item() == pytest.approx(1, abs=1e-6)


def test_symmetric_and_falling(model: GeneralizedGaussianConditional) -> None:
    values = torch.arange(0, 40.0)
    scales = torch.full_like(values, 2.5)

    likelihood = model.likelihood(values, scales)

    assert torch.equal(likelihood, model.likelihood(-values, scales))
    assert (likelihood.diff() <= 0).all()


def test_gradients_by_finite_differences(model: GeneralizedGaussianConditional) -> None:
    # 0 included exactly, where automatic differentiation of the incomplete gamma function gives NaN; so are
    # 0.5 and -0.5, where one of the two arguments of the cumulative function is 0.
    values, scales = torch.meshgrid(
        torch.tensor([-7.3, -1.0, -0.5, 0.0, 0.2, 0.5, 1.0, 4.1], dtype=torch.float64),
        torch.tensor([0.2, 1.0, 5.0, 60.0], dtype=torch.float64),
        indexing="ij",
    )
    values, scales = (t.clone().requires_grad_() for t in (values, scales))

    assert torch.autograd.gradcheck(model._likelihood, (values, scales), eps=1e-6, atol=1e-5)


def test_density_is_the_gradient_of_the_cumulative_function(model: GeneralizedGaussianConditional) -> None:
    v = torch.linspace(-4, 4, 81, dtype=torch.float64, requires_grad=True)

    cumulative = model._standardized_cumulative(v)
    (gradient,) = torch.autograd.grad(cumulative.sum(), v)

    at = v.detach().numpy()
    assert np.abs(cumulative.detach().numpy() - scipy.stats.gennorm.cdf(at, 1.5)).max() < 1e-10
    assert np.abs(gradient.numpy() - scipy.stats.gennorm.pdf(at, 1.5)).max() < 1e-14
    assert float(gradient[40]) == pytest.approx(1.5 / (2 * math.gamma(1 / 1.5)))


def test_gradients_of_the_bounded_likelihood_are_finite_everywhere(
    model: GeneralizedGaussianConditional,
) -> None:
    values = torch.tensor([0.0, 0.5, -0.5, 1.0, 3.0, 1e4]).repeat(4, 1).requires_grad_()
    scales = torch.tensor([-1.0, 0.12, 1.0, 64.0])[:, None].repeat(1, 6).requires_grad_()

    (-torch.log2(model.likelihood(values, scales))).sum().backward()

    assert values.grad is not None
    assert scales.grad is not None
    assert values.grad.isfinite().all()
    assert scales.grad.isfinite().all()


def test_a_scale_below_its_bound_learns_upward_only(model: GeneralizedGaussianConditional) -> None:
    # At 1 a wider distribution codes better, at 0 a narrower one.
    values = torch.tensor([1.0, 0.0])
    scales = torch.tensor([0.05, 0.05], requires_grad=True)

    (-torch.log2(model.likelihood(values, scales))).sum().backward()

    assert scales.grad is not None
    assert scales.grad[0] < 0, "descent makes it larger, towards the bound"
    assert scales.grad[1] == 0, "descent would make it smaller still: no gradient"


def test_an_unlikely_value_still_pulls(model: GeneralizedGaussianConditional) -> None:
    """The likelihood's bound passes the gradient that raises it."""
    values = torch.tensor([7.0], requires_grad=True)
    scales = torch.tensor([1.0], requires_grad=True)
    assert exact(np.array([7.0]), 1.0)[0] < 1e-7

    (-torch.log2(model.likelihood(values, scales))).sum().backward()

    assert values.grad is not None
    assert scales.grad is not None
    assert values.grad[0] > 0
    assert scales.grad[0] < 0


def test_float32_under_autocast(model: GeneralizedGaussianConditional) -> None:
    values, scales = torch.linspace(-5, 5, 50), torch.linspace(0.12, 4, 50)

    with torch.autocast("cpu", torch.bfloat16):
        likelihood = model.likelihood(values, scales)
        halved = model.likelihood(values.bfloat16(), scales.bfloat16())

    assert likelihood.dtype == halved.dtype == torch.float32
    assert torch.equal(likelihood, model.likelihood(values, scales))
    assert torch.equal(halved, model.likelihood(values.bfloat16().float(), scales.bfloat16().float()))


def test_beta_two_is_compressais_gaussian() -> None:
    """A generalised Gaussian of shape 2 and scale s is a Gaussian of standard deviation s / sqrt(2)."""
    model = GeneralizedGaussianConditional(beta=2.0)
    values, scales = torch.meshgrid(
        torch.linspace(-9, 9, 73, dtype=torch.float64), torch.linspace(0.5, 20, 40).double(), indexing="ij"
    )
    gaussian = GaussianConditional(None, scale_bound=0.05).eval()
    deviations = scales / math.sqrt(2)

    assert torch.allclose(model._likelihood(values, scales), gaussian._likelihood(values, deviations), 1e-7, 1e-16)
    # CompressAI's own forward pass, float32, which rounds the values first.
    ours, theirs = model.eval()(values.float(), scales.float()), gaussian(values.float(), deviations.float())
    assert torch.equal(ours[0], theirs[0])
    assert torch.allclose(ours[1], theirs[1], rtol=3e-4, atol=2e-7)
    assert torch.allclose(model.likelihood(ours[0], scales.float()), theirs[1], rtol=3e-4, atol=2e-7)


@pytest.fixture(scope="module")
def tables() -> GeneralizedGaussianConditional:
    model = GeneralizedGaussianConditional()
    model.update_scale_table(get_scale_table())
    return model


class TestCodingTables:
    def test_scales_are_logarithmic_from_0_12_to_64(self) -> None:
        table = np.array(get_scale_table())

        assert len(table) == 60
        assert table[[0, -1]] == pytest.approx([0.12, 64.0], rel=1e-12)
        assert np.allclose(table[1:] / table[:-1], (64 / 0.12) ** (1 / 59), rtol=1e-12)

    def test_cumulative_tables(self, tables: GeneralizedGaussianConditional) -> None:
        cdf, lengths, offsets = (t.numpy() for t in (tables.quantized_cdf, tables.cdf_length, tables.offset))
        assert len(cdf) == len(lengths) == len(offsets) == 60
        for row, length, offset, scale in zip(cdf, lengths, offsets, get_scale_table(), strict=True):
            used = row[:length].astype(np.int64)
            assert used[0] == 0
            assert used[-1] == 65536
            assert (np.diff(used) > 0).all(), "every symbol can be coded"
            probabilities = np.diff(used)[:-1] / 65536  # the last one is the escape
            assert len(probabilities) == 1 - 2 * offset, "symmetric about 0"
            symbols = np.arange(offset, -offset + 1)
            assert np.abs(probabilities - exact(symbols, scale)).max() < len(symbols) * 2.0**-16 + 1e-4

    def test_what_lies_outside_a_table_is_at_most_the_tail_mass(self, tables: GeneralizedGaussianConditional) -> None:
        for offset, scale in zip(tables.offset.tolist(), get_scale_table(), strict=True):
            outside = 2 * scipy.stats.gennorm.sf((-offset + 0.5) / scale, 1.5)
            one_less = 2 * scipy.stats.gennorm.sf((-offset - 1) / scale, 1.5)

            assert outside < 1e-6
            assert one_less > 1e-6, "no longer than needed"

    def test_an_element_uses_the_smallest_scale_not_below_its_own(self, tables: GeneralizedGaussianConditional) -> None:
        table = torch.tensor(get_scale_table())
        middle = (table[:-1] + table[1:]) / 2

        assert tables.build_indexes(table).tolist() == list(range(60))
        assert tables.build_indexes(middle).tolist() == list(range(1, 60))
        assert tables.build_indexes(torch.tensor([-1.0, 0.0, 0.05, 64.5, 1e4])).tolist() == [0, 0, 0, 59, 59]

    def test_symbols_survive_a_real_bitstream(self, tables: GeneralizedGaussianConditional) -> None:
        generator = torch.Generator().manual_seed(0)
        scales = torch.rand(1, 4, 6, 6, generator=generator) * 5 + 0.1
        values = (torch.randn(1, 4, 6, 6, generator=generator) * scales).round()
        values[0, 0, 0, :2] = torch.tensor([500.0, -1000.0])  # outside every table: escaped
        indexes = tables.build_indexes(scales)

        (bits,) = tables.compress(values, indexes)

        assert torch.equal(tables.decompress([bits], indexes), values)
        estimated = -torch.log2(tables.likelihood(values, scales))[0].flatten()[2:].sum().item()
        assert 8 * len(bits) < 1.1 * estimated + 200


class TestEstimatingCoder:
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        y, means = (torch.randn(2, 4, 5, 5, generator=generator) * 4 for _ in range(2))
        return y, torch.rand(2, 4, 5, 5, generator=generator) * 3 + 0.2, means

    def test_evaluation(self, model: GeneralizedGaussianConditional) -> None:
        y, scales, means = self.inputs()
        coder = EstimatingCoder(model, training=False)

        decoded = coder.code(y, scales, means)

        assert torch.equal(decoded, torch.round(y - means) + means)
        (likelihood,) = coder.likelihoods
        expected = np.maximum(exact(torch.round(y - means).double().numpy(), scales.double().numpy()), 1e-9)
        assert np.allclose(likelihood.numpy(), expected, rtol=1e-3)

    def test_training_rounds_what_it_decodes_and_adds_noise_to_what_it_costs(
        self, model: GeneralizedGaussianConditional
    ) -> None:
        y, scales, means = (t.requires_grad_() for t in self.inputs())
        coder = EstimatingCoder(model, training=True)

        first, second = (coder.code(y, scales, means) for _ in range(2))

        assert torch.equal(first, torch.round(y - means) + means)
        assert torch.equal(first, second)
        assert not torch.equal(*coder.likelihoods)
        (gradient,) = torch.autograd.grad(first.sum(), y)
        assert torch.equal(gradient, torch.ones_like(y)), "straight through the rounding"

    def test_noise_is_uniform_of_width_one(self) -> None:
        seen = []

        class Recorder(GeneralizedGaussianConditional):
            def likelihood(self, values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
                seen.append(values)
                return super().likelihood(values, scales)

        torch.manual_seed(0)
        y = torch.full((1, 1, 300, 300), 2.25)
        EstimatingCoder(Recorder(), training=True).code(y, torch.ones_like(y), torch.zeros_like(y))

        noise = seen[0] - 2.25
        assert noise.abs().max() <= 0.5
        assert noise.mean().item() == pytest.approx(0, abs=0.005)
        assert noise.var().item() == pytest.approx(1 / 12, rel=0.02)

    def test_cannot_estimate_what_it_is_not_given(self, model: GeneralizedGaussianConditional) -> None:
        ones = torch.ones(1, 1, 2, 2)

        with pytest.raises(ValueError, match="needs the values of y, got none"):
            EstimatingCoder(model, training=False).code(None, ones, ones)
