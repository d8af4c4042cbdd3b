"""The published optimizer: Adam with a few late drops of the learning rate."""

from collections.abc import Sequence
from typing import Any

import torch


class AdamRecipe:
    """Adam whose learning rate drops at given shares of the training.

    Published for HPCM: 1e-4, from epoch 2750 of 3000 on 3e-5, from 2850 on 1e-5, from 2950 on 1e-6. As shares they
    keep that shape at any length.

    Args:
        lr: Learning rate before the first drop, above 0.
        milestones: Shares of ``trainer.max_epochs`` at which it drops, rising, within (0, 1]; each is
            rounded to an epoch.
        factors: What ``lr`` is multiplied with from each milestone on.
        betas: Adam's decay rates.

    Raises:
        ValueError: A value is outside its range.
    """

    def __init__(
        self,
        lr: float = 1e-4,
        milestones: Sequence[float] = (0.91667, 0.95, 0.98333),
        factors: Sequence[float] = (0.3, 0.1, 0.01),
        betas: Sequence[float] = (0.9, 0.999),
    ) -> None:
        if not 0 < lr < float("inf"):
            raise ValueError(f"lr must be a number above 0, got {lr}.")
        if any(not 0 < share <= 1 for share in milestones) or list(milestones) != sorted(set(milestones)):
            raise ValueError(f"milestones must be rising shares of max_epochs within (0, 1], got {list(milestones)}.")
        if len(factors) != len(milestones) or any(not factor > 0 for factor in factors):
            raise ValueError(
                f"factors must hold one number above 0 for each of the {len(milestones)} milestones, "
                f"got {list(factors)}."
            )
        if len(betas) != 2 or any(not 0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be two numbers within [0, 1), got {list(betas)}.")
        self.lr = lr
        self.milestones = tuple(milestones)
        self.factors = tuple(factors)
        self.betas = (betas[0], betas[1])

    def factor(self, epoch: int, max_epochs: int | None) -> float:
        """What the learning rate is multiplied with in ``epoch``; 1 where the length is unknown."""
        current = 1.0
        for share, factor in zip(self.milestones, self.factors, strict=True):
            if max_epochs is not None and max_epochs > 0 and epoch >= max(1, round(share * max_epochs)):
                current = factor
        return current

    def configure(self, params: list[dict[str, Any]], max_epochs: int | None) -> dict[str, Any]:
        """Adam over parameter groups (a group may bring its own ``lr``) and its schedule."""
        optimizer = torch.optim.Adam(params, lr=self.lr, betas=self.betas)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: self.factor(epoch, max_epochs))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}
