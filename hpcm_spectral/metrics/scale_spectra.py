"""Which frequencies of photographs each scale of a codec explains, and what it costs.

Letters: S scales, B radial bands.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float

from hpcm_spectral.codec import PartialReconstruction
from hpcm_spectral.metrics import sum_over_bands
from hpcm_spectral.ops import dct_2d
from hpcm_spectral.runs.spectra import ScaleSpectra

# A band with less of an image's energy holds nothing but rounding: that of float32 is about 1e-14.
EMPTY = 1e-12


def scale_spectra(
    photographs: Iterable[tuple[Float[torch.Tensor, "1 3 _ _"], list[PartialReconstruction]]], bands: int
) -> ScaleSpectra:
    """Measure in float64 what a codec made of at least one photograph in [0, 1], each with its reconstructions."""
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
