"""What a traversal does with the symbols of one coding step: estimate their cost (or, later, write or read them)."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float

from hpcm_spectral.entropy.generalized_gaussian import GeneralizedGaussianConditional
from hpcm_spectral.ops import ste_round


@runtime_checkable
class SymbolCoder(Protocol):
    """One coding step after the other, in a fixed order."""

    def code(
        self,
        y: Float[torch.Tensor, "B C h w"] | None,
        scales: Float[torch.Tensor, "B C h w"],
        means: Float[torch.Tensor, "B C h w"],
    ) -> Float[torch.Tensor, "B C h w"]:
        """Code the values of one step, whose prior is given, and return them as a decoder sees them.

        Args:
            y: The values; None where they are being decoded.
            scales: Scales of their prior.
            means: Means of their prior.

        Returns:
            ``round(y - means) + means``.
        """
        ...


class EstimatingCoder:
    """Rounds values with a straight-through gradient and keeps their likelihoods.

    Args:
        entropy_model: The prior's family.
        training: Likelihoods are taken of values with uniform noise instead of rounded ones.

    Attributes:
        likelihoods: One tensor per step coded so far.
    """

    def __init__(self, entropy_model: GeneralizedGaussianConditional, *, training: bool) -> None:
        self.entropy_model = entropy_model
        self.training = training
        self.likelihoods: list[torch.Tensor] = []

    def code(
        self,
        y: Float[torch.Tensor, "B C h w"] | None,
        scales: Float[torch.Tensor, "B C h w"],
        means: Float[torch.Tensor, "B C h w"],
    ) -> Float[torch.Tensor, "B C h w"]:
        """See :meth:`SymbolCoder.code`.

        Raises:
            ValueError: There is no ``y`` whose cost could be estimated.
        """
        if y is None:
            raise ValueError("an estimating coder needs the values of y, got none; decode with a decoding coder.")
        residual = y.float() - means.float()
        rounded = ste_round(residual)
        # Under bf16 autocast the noise must not be rounded to bf16, hence float32 above.
        coded = residual + torch.empty_like(residual).uniform_(-0.5, 0.5) if self.training else rounded
        self.likelihoods.append(self.entropy_model.likelihood(coded, scales))
        return rounded + means.float()
