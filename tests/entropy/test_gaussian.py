"""The Gaussian against SciPy's, its gradients far from the mean, and its coding tables."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import numpy as np
import pytest
import scipy.stats
import torch

from hpcm_spectral.entropy import DiscretizedGaussian


@pytest.fixture
def model() -> DiscretizedGaussian:
    return DiscretizedGaussian()


def bin_probability(values: np.ndarray, scale: float) -> np.ndarray:
    magnitude = -np.abs(values)
    return scipy.stats.norm.cdf((magnitude + 0.5) / scale) - scipy.stats.norm.cdf((magnitude - 0.5) / scale)


@pytest.mark.parametrize("scale", [0.11, 0.5, 3.0, 20.0])
def test_likelihoods_agree_with_scipy(scale: float, model: DiscretizedGaussian) -> None:
    values = torch.linspace(-6 * scale - 1, 6 * scale + 1, 401)
    expected = bin_probability(values.double().numpy(), scale)
    found = model.likelihood(values, torch.full_like(values, scale))
    assert np.allclose(found.numpy(), np.maximum(expected, 1e-9), rtol=2e-3, atol=1e-9)
    trained = model.training_likelihood(values, torch.full_like(values, scale)).numpy()
    near = expected > 2e-6
    assert np.allclose(trained[near], expected[near], rtol=2e-3)


def test_scales_below_the_tables_first_count_as_it_in_evaluation_only(model: DiscretizedGaussian) -> None:
    value, scale = torch.tensor([0.4]), torch.tensor([0.05])
    assert torch.equal(model.likelihood(value, scale), model.likelihood(value, torch.tensor([0.11])))
    assert model.training_likelihood(value, scale).item() == pytest.approx(bin_probability(np.array(0.4), 0.05))


@pytest.mark.parametrize("distance", [3.0, 30.0, 3000.0])
def test_far_values_are_pulled_by_the_density(distance: float, model: DiscretizedGaussian) -> None:
    """d(-log p)/dv = v / s^2 and d(-log p)/ds = 1/s - v^2/s^3, however small the likelihood."""
    value, scale = (torch.tensor([v], requires_grad=True) for v in (distance, 0.3))
    likelihood = model.training_likelihood(value, scale)
    assert 0 < likelihood.item() <= 1e-6
    (-likelihood.log()).sum().backward()
    assert value.grad.item() == pytest.approx(distance / 0.09, rel=1e-4)
    assert scale.grad.item() == pytest.approx(1 / 0.3 - distance**2 / 0.027, rel=1e-4)


def test_gradients_near_the_mean_are_those_of_the_bin(model: DiscretizedGaussian) -> None:
    value, scale = (torch.tensor([v], requires_grad=True) for v in (0.7, 1.3))
    (-model.training_likelihood(value, scale).log()).sum().backward()
    step = 1e-6
    for tensor, (dv, ds) in ((value, (step, 0.0)), (scale, (0.0, step))):
        up, down = (-np.log(bin_probability(np.array(0.7 + k * dv), 1.3 + k * ds)) for k in (1, -1))
        assert tensor.grad.item() == pytest.approx((up - down) / (2 * step), rel=1e-3)


def test_a_value_takes_the_nearest_table(model: DiscretizedGaussian) -> None:
    model.update_scale_table(model.scales(), force=True)
    table = np.array(model.scales())
    scales = np.geomspace(0.01, 100, 997)
    expected = np.abs(np.log(scales[:, None] / table)).argmin(1)
    found = model.build_indexes(torch.from_numpy(scales).float()[None])[0]
    assert found.tolist() == expected.tolist()


def test_the_tables_are_the_gaussians(model: DiscretizedGaussian) -> None:
    model.update_scale_table(model.scales(), force=True)
    assert len(model.scale_table) == 64
    assert [model.scale_table[0].item(), model.scale_table[-1].item()] == pytest.approx([0.11, 20])
    for row in (0, 30, 63):
        scale, offset = model.scale_table[row].item(), model._offset[row].item()
        length = model._cdf_length[row].item() - 2
        frequencies = np.diff(model._quantized_cdf[row, : length + 1].numpy()) / 2**16
        expected = bin_probability(np.arange(offset, offset + length), scale)
        assert np.abs(frequencies - expected).max() < 2e-3 * expected.max() + length / 2**16
