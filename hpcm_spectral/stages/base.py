"""The stage protocol: an epoch window, a name for its phase, the numbers it logs."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import nn

from hpcm_spectral.codec import ScaleLatent


class Stage(nn.Module):
    """A regularizer that exists during training only.

    A stage sees tensors and :class:`ScaleLatent` records, never the codec. Its parameters, if it has any, are
    trained beside the codec's and stay out of every exported codec.

    Args:
        start_epoch: Progress in epochs from which the stage acts.
        end_epoch: Progress from which it no longer acts; ``None``: until the end.

    Attributes:
        phase: What ``spectral/phase`` reads while the stage acts.
    """

    phase: str = "stage"

    def __init__(self, start_epoch: float = 0, end_epoch: float | None = None) -> None:
        super().__init__()
        if start_epoch < 0:
            raise ValueError(f"start_epoch must not be negative, got {start_epoch}.")
        if end_epoch is not None and end_epoch <= start_epoch:
            raise ValueError(f"end_epoch must lie above start_epoch ({start_epoch}), got {end_epoch}.")
        self.start_epoch = start_epoch
        self.end_epoch = end_epoch

    def is_active(self, progress: float) -> bool:
        """Whether the stage acts at ``progress`` epochs (3.5: half-way through the fourth)."""
        return self.start_epoch <= progress and (self.end_epoch is None or progress < self.end_epoch)

    def metrics(self, progress: float) -> Mapping[str, float | torch.Tensor]:
        """Numbers to log at ``progress`` by their full keys, such as ``spectral/tau``, while the stage acts."""
        return {}


class InputStage(Stage):
    """A stage that changes the training images.

    Attributes:
        target: What the loss compares the reconstruction with: the changed images (``truncated``) or the
            ``original`` ones.
    """

    target: Literal["truncated", "original"] = "truncated"

    def forward(self, x: Float[torch.Tensor, "B 3 H W"], progress: float) -> Float[torch.Tensor, "B 3 H W"]:
        """Images to train on in place of ``x`` (values in [0, 1])."""
        raise NotImplementedError


class PenaltyStage(Stage):
    """A stage that adds a term to the loss.

    Attributes:
        lr: Learning rate of the stage's own parameters; ``None``: the codec's.
    """

    lr: float | None = None

    def prepare(self, latents: Sequence[ScaleLatent]) -> None:
        """Called once before the optimizer is made: the place to make parameters of fitting sizes.

        Args:
            latents: The codec's latents of one image, coarsest first.

        Raises:
            UserError: The stage cannot work with these latents.
            ValueError: A setting does not fit them; the message begins with its name.
        """

    def forward(self, latents: Sequence[ScaleLatent], progress: float) -> Float[torch.Tensor, ""]:
        """The term as it enters the loss, from the latents of every scale, coarsest first."""
        raise NotImplementedError
