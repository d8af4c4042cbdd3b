"""Known bands are found, and every sum agrees with one of numpy's or SciPy's."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn

from hpcm_spectral.codec import Codec, PartialReconstruction
from hpcm_spectral.metrics.scale_spectra import scale_spectra
from hpcm_spectral.runs.spectra import ScaleSpectra

BANDS = 16
# Of a 64x96 photograph; with r = sqrt((u/64)^2 + (v/96)^2) and rings of width sqrt(2)/16 they lie in bands 0, 5 and 9.
FREQUENCIES = {0: (0, 0), 5: (16, 36), 9: (48, 36)}


def reference(products: np.ndarray, bands: int = BANDS) -> np.ndarray:
    """Sums over rings of an array [C, H, W] of products of DCT coefficients, frequency by frequency."""
    sums = np.zeros(bands)
    _, height, width = products.shape
    for u in range(height):
        for v in range(width):
            # In whole numbers, as many frequencies lie exactly on an edge.
            band = math.isqrt(((u * width) ** 2 + (v * height) ** 2) * bands**2 // (2 * (height * width) ** 2))
            sums[band] += products[:, u, v].sum()
    return sums


class StandIn(Codec):
    """A codec without networks: its latents are DCT coefficients, and each scale decodes some of them to pixels.

    Args:
        scales: Names, each with the bands that it decodes and the gain at which it does.
    """

    def __init__(self, scales: dict[str, dict[int, float]]) -> None:
        super().__init__()
        self.scales = scales

    def reconstructions(self, x: torch.Tensor, level: int = 0) -> list[PartialReconstruction]:
        coefficients = dctn(x.double().numpy(), axes=(-2, -1), norm="ortho")
        latents, records = np.zeros_like(coefficients), []
        for number, (scale, gains) in enumerate(self.scales.items(), 1):
            for band, gain in gains.items():
                place = (..., *FREQUENCIES[band])
                latents[place] += gain * coefficients[place]
            decoded = torch.from_numpy(idctn(latents, axes=(-2, -1), norm="ortho")).float()
            records.append(PartialReconstruction(scale, decoded, torch.full((len(x),), 96.0 * number)))
        return records


def photograph(**amplitudes: float) -> torch.Tensor:
    coefficients = np.zeros((1, 3, 64, 96))
    for band, amplitude in amplitudes.items():
        coefficients[(..., *FREQUENCIES[int(band[1:])])] = amplitude
    return torch.from_numpy(idctn(coefficients, axes=(-2, -1), norm="ortho")).float()


def diagnosed(codec: Codec, *photographs: torch.Tensor) -> ScaleSpectra:
    return scale_spectra([(x, codec.reconstructions(x)) for x in photographs], BANDS)


def test_a_codec_whose_scales_decode_known_bands_shows_them_there() -> None:
    codec = StandIn({"coarse": {0: 1.0}, "middle": {5: 1.0}, "fine": {5: -0.25, 9: 0.5}})
    spectra = diagnosed(codec, photograph(b0=40.0, b5=6.0, b9=2.0))
    assert spectra.scales == ("coarse", "middle", "fine")
    expected = np.full((3, BANDS), np.nan)
    expected[:, [0, 5, 9]] = [[1, 0, 0], [0, 1, 0], [0, -0.25, 0.5]]
    np.testing.assert_allclose(spectra.overlap, expected, atol=1e-5)
    energies = np.zeros((3, BANDS))
    energies[[0, 1, 2, 2], [0, 5, 5, 9]] = 3 * np.array([40.0, 6.0, 0.25 * 6, 0.5 * 2]) ** 2
    np.testing.assert_allclose(spectra.energy, energies, atol=1e-3)
    assert spectra.bpp.tolist() == pytest.approx([96 * k / (64 * 96) for k in (1, 2, 3)])
    # What is missing of the three waves, each of 3 channels, spread over the pixels.
    missing = np.array([6**2 + 2**2, 2**2, (0.25 * 6) ** 2 + 1**2])
    assert spectra.mse.tolist() == pytest.approx((missing / (64 * 96)).tolist(), rel=1e-4)


def test_means_over_photographs_are_taken_before_they_are_divided() -> None:
    codec = StandIn({"only": {0: 1.0, 5: 0.5}})
    bright, plain = photograph(b0=40.0, b5=6.0), photograph(b0=20.0)
    spectra = diagnosed(codec, bright, plain)
    assert spectra.image_energy[[0, 5]].tolist() == pytest.approx([3 * (1600 + 400) / 2, 3 * 36 / 2], rel=1e-5)
    # The photograph without this band takes no part in it.
    assert spectra.overlap[0, 5] == pytest.approx(0.5, rel=1e-5)


def test_every_number_agrees_with_scipy_on_noise_of_two_sizes() -> None:
    rng = np.random.default_rng(3)
    images = [rng.random((1, 3, *size)).astype(np.float32) for size in ((24, 40), (33, 20))]
    shown = [np.stack([x * gain + 0.1 * rng.standard_normal(x.shape) for gain in (0.5, 0.9)]) for x in images]
    pairs = [
        (
            torch.from_numpy(x),
            [
                PartialReconstruction(str(k), torch.from_numpy(one).float(), torch.tensor([10.0 * k]))
                for k, one in enumerate(decoded)
            ],
        )
        for x, decoded in zip(images, shown, strict=True)
    ]
    spectra = scale_spectra(pairs, BANDS)
    image_energy, energy, product = np.zeros(BANDS), np.zeros((2, BANDS)), np.zeros((2, BANDS))
    for x, decoded in zip(images, shown, strict=True):
        of_image = dctn(x[0].astype(np.float64), axes=(-2, -1), norm="ortho")
        image_energy += reference(of_image**2) / 2
        for k, contribution in enumerate((decoded[0], decoded[1] - decoded[0])):
            of_scale = dctn(contribution[0], axes=(-2, -1), norm="ortho")
            energy[k] += reference(of_scale**2) / 2
            product[k] += reference(of_scale * of_image) / 2
    np.testing.assert_allclose(spectra.image_energy, image_energy, rtol=1e-6)
    np.testing.assert_allclose(spectra.energy, energy, rtol=1e-5)
    np.testing.assert_allclose(spectra.overlap, product / image_energy, rtol=1e-5, atol=1e-7)
    # Parseval: over all bands, the sums of squares in the pixels.
    pixels = [np.mean([(x.astype(np.float64) ** 2).sum() for x in images])]
    pixels += [np.mean([(d[0] ** 2).sum() for d in shown]), np.mean([((d[1] - d[0]) ** 2).sum() for d in shown])]
    found = [spectra.image_energy.sum(), *spectra.energy.sum(1)]
    assert found == pytest.approx(pixels, rel=1e-5)


def test_the_overlaps_of_a_full_reconstruction_add_up_to_1_in_every_band() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 48, 48, generator=rng)
    shown = [torch.rand(1, 3, 48, 48, generator=rng), torch.rand(1, 3, 48, 48, generator=rng), x]
    records = [PartialReconstruction(str(k), one, torch.ones(1)) for k, one in enumerate(shown)]
    spectra = scale_spectra([(x, records)], BANDS)
    np.testing.assert_allclose(spectra.overlap.sum(0), np.ones(BANDS), atol=1e-6)
    assert spectra.mse[-1] == 0
