"""What a decoder makes of the first steps alone."""

import torch
from jaxtyping import Bool, Float

from hpcm_spectral.entropy.symbol_coder import SymbolCoder


class PartialCoder:
    """Codes the first steps as another coder does; of later ones a decoder knows no more than the priors' means.

    Args:
        coder: Codes the first steps.
        steps: How many there are, at least 0.
    """

    def __init__(self, coder: SymbolCoder, steps: int) -> None:
        self.coder = coder
        self.steps_left = steps

    def code(
        self,
        y: Float[torch.Tensor, "B C h w"] | None,
        scales: Float[torch.Tensor, "B C h w"],
        means: Float[torch.Tensor, "B C h w"],
        inside: Bool[torch.Tensor, "1 C h w"] | None = None,
    ) -> Float[torch.Tensor, "B C h w"]:
        """See :meth:`SymbolCoder.code`; of a later step, ``means``."""
        if self.steps_left == 0:
            return means.float()
        self.steps_left -= 1
        return self.coder.code(y, scales, means, inside)
