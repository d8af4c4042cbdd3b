"""The stage protocol: an epoch window, a name for its phase, and what the stage adds to a training step."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import nn

from hpcm_spectral.codec import ScaleLatent
from hpcm_spectral.errors import SettingError

Numbers = Mapping[str, float | torch.Tensor]


class Stage(nn.Module):
    """A regularizer that exists during training only.

    A stage sees tensors and :class:`ScaleLatent` records, never the codec. Its parameters, if it has any, are
    trained beside the codec's and stay out of every exported codec. ``forward`` returns, with its value, the numbers
    to log at this step by their full keys, such as ``spectral/tau``.

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
            raise SettingError("start_epoch", f"must not be negative, got {start_epoch}.")
        if end_epoch is not None and end_epoch <= start_epoch:
            raise SettingError("end_epoch", f"must lie above start_epoch ({start_epoch}), got {end_epoch}.")
        self.start_epoch = start_epoch
        self.end_epoch = end_epoch

    def is_active(self, progress: float) -> bool:
        """Whether the stage acts at ``progress`` epochs (3.5: half-way through the fourth)."""
        return self.start_epoch <= progress and (self.end_epoch is None or progress < self.end_epoch)

    @property
    def full_from(self) -> float:
        """Progress in epochs from which the stage acts with its full weight."""
        return self.start_epoch

    @property
    def remark(self) -> str:
        """What a reader of the log should know of the settings; empty if nothing."""
        return ""

    def describe(self) -> dict[str, Any]:
        """What the run folder keeps of the stage: plain values that JSON can hold."""
        return {}


class InputStage(Stage):
    """A stage that changes the training images.

    Attributes:
        replaces_target: Whether the loss compares the reconstruction with the changed images; else with those that
            came in.
    """

    replaces_target: bool = True

    def forward(
        self, x: Float[torch.Tensor, "B 3 H W"], progress: float
    ) -> tuple[Float[torch.Tensor, "B 3 H W"], Numbers]:
        """Images to train on in place of ``x`` (values in [0, 1]), and the numbers to log."""
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
            SettingError: A setting does not fit them.
        """

    def forward(self, latents: Sequence[ScaleLatent], progress: float) -> tuple[Float[torch.Tensor, ""], Numbers]:
        """The term as it enters the loss, from the latents of every scale, coarsest first, and the numbers to log."""
        raise NotImplementedError
