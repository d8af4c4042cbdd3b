"""Straight-through rounding."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import torch

from hpcm_spectral.ops import ste_round


def test_values_are_exact_integers() -> None:
    # The usual x + (round(x) - x).detach() misses some of these by an ulp.
    x = torch.linspace(-3000, 3000, 200_001)

    rounded = ste_round(x)

    assert torch.equal(rounded, rounded.long().float())
    assert torch.equal(rounded, torch.round(x))


def test_halves_go_to_the_even_integer() -> None:
    assert ste_round(torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5])).tolist() == [-2, 0, 0, 2, 2]


def test_gradient_is_that_of_the_identity() -> None:
    x = torch.tensor([-0.5, 0.0, 0.3, 0.5, 7.9], requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 3.0, 0.5, 0.0])

    (weights * ste_round(x)).sum().backward()

    assert x.grad is not None
    assert torch.equal(x.grad, weights)
