"""Rate control: how one codec works at many rates, and what each of them weighs."""

import torch
from jaxtyping import Float
from torch import nn

from hpcm_spectral.codec import Level


class RateTable(nn.Module):
    """A vector of positive factors per rate level, one for each channel: the exponential of what is trained.

    Args:
        levels: Number of rate levels.
        channels: Number of factors.
    """

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.zeros(levels, channels, 1, 1))

    def forward(self, level: Level) -> Float[torch.Tensor, "_ C 1 1"]:
        """The factors of one level for all images (then the first axis has length 1), or of a level for each."""
        return self.log[level].reshape(-1, *self.log.shape[1:]).exp()


def level_lmbdas(levels: int, lowest: float, highest: float) -> tuple[float, ...]:
    """Weights of the distortion per level, in a geometric row from the lowest to the highest.

    Example:
        >>> [round(255**2 * lmbda) for lmbda in level_lmbdas(64, 256 / 255**2, 8192 / 255**2)][::21]
        [256, 813, 2580, 8192]
    """
    return tuple(lowest * (highest / lowest) ** (level / (levels - 1)) for level in range(levels))
