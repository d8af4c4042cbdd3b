"""Which frequencies of photographs each scale of a codec explains, and what it costs.

Letters: S scales, B radial bands.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from hpcm_spectral.latents import PartialReconstruction
from hpcm_spectral.metrics import sum_over_bands
from hpcm_spectral.ops import dct_2d

# A band with less of an image's energy holds nothing but rounding: that of float32 is about 1e-14.
EMPTY = 1e-12


@dataclass(frozen=True)
class ScaleSpectra:
    """The paper's diagnosis (figures 1 and 8) of a codec at one moment, means over photographs.

    A scale's contribution C is the reconstruction up to it minus the one before; the first one's is all of its
    reconstruction. With X the photograph and ``<., .>_b`` the sum of products of DCT coefficients in band b:

    Attributes:
        scales: Names in coding order.
        image_energy: ``<X, X>_b``.
        energy: ``<C, C>_b``.
        overlap: ``<C, X>_b / <X, X>_b``, means divided by means. Over the scales it adds up to 1 where the
            reconstruction holds the band fully; below 0 a scale works against the photographs. NaN where these have
            no energy.
        bpp: Bits per pixel of the scale alone.
        mse: Mean squared error of the reconstruction up to the scale, not clamped, of images in [0, 1].
    """

    scales: tuple[str, ...]
    image_energy: Float[np.ndarray, " B"]
    energy: Float[np.ndarray, "S B"]
    overlap: Float[np.ndarray, "S B"]
    bpp: Float[np.ndarray, " S"]
    mse: Float[np.ndarray, " S"]


def scale_spectra(
    photographs: Iterable[tuple[Float[torch.Tensor, "1 3 _ _"], list[PartialReconstruction]]], bands: int
) -> ScaleSpectra:
    """Measure what a codec made of photographs, in float64.

    Args:
        photographs: Images in [0, 1], perhaps of different sizes, each with its reconstructions; at least one.
        bands: Number of radial bands, at least 1.
    """
    parts: list[dict[str, torch.Tensor]] = []
    for x, records in photographs:
        scales = tuple(record.scale for record in records)
        parts.append(_measure(x, records, bands))
    mean = {key: torch.stack([part[key] for part in parts]).mean(0).cpu().numpy() for key in parts[0]}
    image_energy, product = mean["image_energy"], mean.pop("product")
    filled = image_energy > EMPTY * image_energy.sum()
    overlap = np.where(filled, product / np.where(filled, image_energy, 1.0), np.nan)
    return ScaleSpectra(scales, overlap=overlap, **mean)


def _measure(x: torch.Tensor, records: list[PartialReconstruction], bands: int) -> dict[str, torch.Tensor]:
    """Sums of products of one photograph, over its channels, with the scales along the first axis."""
    image = x[0].double()
    shown = torch.stack([record.x_hat[0].double() for record in records])
    contributions = torch.diff(shown, dim=0, prepend=torch.zeros_like(shown[:1]))
    spectra = dct_2d(torch.cat([image[None], contributions]))
    of_image, of_scales = spectra[0], spectra[1:]
    return {
        "image_energy": sum_over_bands(of_image.square().sum(0), bands),
        "energy": sum_over_bands(of_scales.square().sum(1), bands),
        "product": sum_over_bands((of_scales * of_image).sum(1), bands),
        "bpp": torch.stack([record.bits[0].double() for record in records]) / (x.shape[-2] * x.shape[-1]),
        "mse": (shown - image).square().mean(dim=(1, 2, 3)),
    }
