"""What a hierarchical codec shows of itself to stages, diagnostics and reports."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class ScaleLatent:
    """The decoded latent of one scale.

    Args:
        y_hat: Decoded values at this scale's size, with gradient. For HPCM they contain the values that
            coarser scales decoded; for a true hierarchy they are this scale's own.
        newly_coded: True where this scale coded a value, False where it inherited one; broadcasts over the batch.
    """

    y_hat: Float[torch.Tensor, "B C h w"]
    newly_coded: Bool[torch.Tensor, "1 C h w"]
