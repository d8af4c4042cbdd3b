"""How the energy of an image is spread over radial frequencies."""

import math

import torch
from jaxtyping import Float

from hpcm_spectral.ops import dct_2d


def radial_spectrum(
    image: Float[torch.Tensor, "C H W"], bands: int = 64
) -> tuple[Float[torch.Tensor, " bands"], Float[torch.Tensor, " bands"]]:
    """Energy of an image in rings of radial frequency, ``r = sqrt((u / H)^2 + (v / W)^2)`` as in phase 1.

    The rings are equally wide and cover r from 0 to the square root of 2. The DCT is orthonormal, so the
    energies add up to the image's own, the sum of its squared values.

    Args:
        image: Of any size and number of channels; a small one leaves some rings without a frequency.
        bands: Number of rings, at least 1.

    Returns:
        The radius in the middle of every ring, and its energy over all channels, in float64.

    Raises:
        ValueError: ``bands`` is below 1.

    Example:
        >>> centres, energy = radial_spectrum(torch.ones(3, 8, 8), bands=4)
        >>> [round(e, 6) for e in energy.tolist()]  # a constant image has the lowest frequency only
        [192.0, 0.0, 0.0, 0.0]
    """
    if bands < 1:
        raise ValueError(f"bands must be at least 1, got {bands}.")
    height, width = image.shape[-2:]
    power = dct_2d(image.double()).square().sum(0)
    u = torch.arange(height, dtype=torch.float64)[:, None] / height
    v = torch.arange(width, dtype=torch.float64)[None, :] / width
    ring_width = math.sqrt(2) / bands
    ring = (torch.sqrt(u * u + v * v) / ring_width).long().clamp(max=bands - 1)
    energy = torch.zeros(bands, dtype=torch.float64).index_add_(0, ring.flatten(), power.flatten())
    centres = (torch.arange(bands, dtype=torch.float64) + 0.5) * ring_width
    return centres, energy
