"""Bits from likelihoods."""

import torch
from jaxtyping import Float


def bits(likelihoods: Float[torch.Tensor, "*shape"]) -> Float[torch.Tensor, ""]:
    """What ideal entropy coding of all values costs: the sum of ``-log2`` of their likelihoods, in float32.

    Example:
        >>> bits(torch.tensor([0.5, 0.25])).item()
        3.0
    """
    return -torch.log2(likelihoods.float()).sum()
