"""How the energy of an image is spread over radial frequencies."""

import math

import torch
from jaxtyping import Float

from hpcm_spectral.ops import dct_2d


def band_edges(bands: int) -> Float[torch.Tensor, " edges"]:
    """The ``bands + 1`` radii at which equally wide rings of radial frequency end, 0 to the square root of 2.

    Raises:
        ValueError: ``bands`` is below 1.
    """
    if bands < 1:
        raise ValueError(f"bands must be at least 1, got {bands}.")
    return torch.linspace(0, math.sqrt(2), bands + 1, dtype=torch.float64)


def sum_over_bands(spectrum: Float[torch.Tensor, "*batch H W"], bands: int) -> Float[torch.Tensor, "*batch bands"]:
    """Add up a value per DCT frequency (DC first) in rings of ``r = sqrt((u / H)^2 + (v / W)^2)``, as in phase 1.

    The sums are in float64, and over all rings that of ``spectrum``; of a small image some rings have no frequency.
    """
    height, width = spectrum.shape[-2:]
    u = torch.arange(height, dtype=torch.float64, device=spectrum.device)[:, None] / height
    v = torch.arange(width, dtype=torch.float64, device=spectrum.device)[None, :] / width
    # Of a square image, the diagonal's frequencies lie on edges; those belong to the ring above, however they round.
    ring = (torch.sqrt(u * u + v * v) * (bands / math.sqrt(2)) + 1e-9).long().clamp(max=bands - 1)
    sums = spectrum.new_zeros(*spectrum.shape[:-2], bands, dtype=torch.float64)
    return sums.index_add_(-1, ring.flatten(), spectrum.double().flatten(-2))


def radial_spectrum(
    image: Float[torch.Tensor, "C H W"], bands: int = 64
) -> tuple[Float[torch.Tensor, " bands"], Float[torch.Tensor, " bands"]]:
    """Energy of an image of any size in rings of radial frequency.

    The rings are equally wide and cover r from 0 to the square root of 2. The DCT is orthonormal, so the
    energies add up to the image's own, the sum of its squared values.

    Returns:
        The radius in the middle of every ring, and its energy over all channels, in float64.

    Raises:
        ValueError: ``bands`` is below 1.

    Example:
        >>> centres, energy = radial_spectrum(torch.ones(3, 8, 8), bands=4)
        >>> [round(e, 6) for e in energy.tolist()]  # a constant image has the lowest frequency only
        [192.0, 0.0, 0.0, 0.0]
    """
    edges = band_edges(bands)
    return (edges[1:] + edges[:-1]) / 2, sum_over_bands(dct_2d(image.double()).square().sum(0), bands)
