import math

import pytest
import torch

from hpcm_spectral.metrics import radial_spectrum
from hpcm_spectral.ops import idct_2d


@pytest.mark.parametrize("size", [(64, 64), (37, 90), (5, 3), (1, 1)])
@pytest.mark.parametrize("bands", [1, 7, 64])
def test_energies_add_up_to_the_image_s(size, bands):
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    centres, energy = radial_spectrum(image, bands)
    assert energy.dtype == torch.float64
    assert centres.shape == energy.shape == (bands,)
    assert energy.sum().item() == pytest.approx(image.double().square().sum().item(), rel=1e-10)


def test_a_wave_lies_in_the_band_of_its_radius():
    coefficients = torch.zeros(1, 40, 80, dtype=torch.float64)
    coefficients[0, 12, 32] = 3.0  # r = sqrt(0.3^2 + 0.4^2) = 0.5: relative to each side, not to one
    centres, energy = radial_spectrum(idct_2d(coefficients), bands=50)
    band = int(energy.argmax())
    assert energy[band].item() == pytest.approx(9.0)
    assert abs(centres[band].item() - 0.5) <= math.sqrt(2) / 50 / 2


def test_centres_are_the_middles_from_0_to_the_corner():
    centres, _ = radial_spectrum(torch.rand(1, 8, 8), bands=2)
    assert centres.tolist() == pytest.approx([math.sqrt(2) / 4, 3 * math.sqrt(2) / 4])


def test_bands_must_be_at_least_1():
    with pytest.raises(ValueError, match="bands"):
        radial_spectrum(torch.rand(1, 8, 8), bands=0)
