"""Counts of operations, against counts by hand and from the shapes of layers."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import pytest
import torch
from torch import nn

from hpcm_spectral.benchmarks.rates import count_operations, matrix_rate
from hpcm_spectral.benchmarks.things import Stepper, training_step
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.models import HPCM_Base
from hpcm_spectral.training import CodecModule, Recipe


@pytest.mark.parametrize("inference", [False, True])
def test_operations_by_hand(*, inference: bool) -> None:
    x = torch.rand(2, 8, 6, 5)
    layers = {
        nn.Conv2d(8, 4, 3, padding=1): 2 * 2 * 4 * 6 * 5 * 8 * 9,
        nn.Conv2d(8, 8, 3, padding=1, groups=8): 2 * 2 * 8 * 6 * 5 * 9,
        nn.ConvTranspose2d(8, 4, 3, stride=2): 2 * 2 * 8 * 6 * 5 * 4 * 9,
        nn.Linear(5, 7): 2 * 2 * 8 * 6 * 5 * 7,
        nn.ReLU(): 0,
    }

    def call(layer: nn.Module) -> None:
        with torch.inference_mode(inference):
            layer(x)

    assert [count_operations(lambda own=layer: call(own)) for layer in layers] == list(layers.values())


def test_a_step_of_hpcm_base_is_three_times_what_its_layers_say() -> None:
    codec = HPCM_Base()
    module = CodecModule(codec, RateDistortionLoss(), Recipe(torch.optim.Adam))
    operations = training_step(Stepper(module, 0.0), torch.rand(1, 3, 256, 256)).operations
    by_layers = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], out: torch.Tensor) -> None:
        nonlocal by_layers
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
        sites = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else out
        by_layers += 2 * sites.numel() * layer.weight[0].numel()

    for layer in codec.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.register_forward_hook(count)
    assert operations is not None
    # What the layers' own count lacks are a few products by functions.
    counted = operations()
    assert counted == pytest.approx(3 * by_layers, rel=1e-3)
    assert counted / 1e9 == pytest.approx(358, abs=1)
    assert codec.training


def test_rate_of_matrix_products() -> None:
    # A thousandth of a GFLOP/s would be no computer, and 10^15 none either.
    assert 1e6 < matrix_rate(torch.float32, torch.device("cpu"), size=64, repeats=1) < 1e15
