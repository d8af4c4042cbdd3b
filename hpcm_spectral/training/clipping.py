"""Clipped gradient norms, and groups of parameters that sit a step out because theirs is not finite."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import nn

from hpcm_spectral.errors import UserError
from hpcm_spectral.ops.devices import LateReading

MAX_SKIPPED_IN_A_ROW = 50
FUSED = (torch.optim.Adam, torch.optim.AdamW)


def clip_groups(optimizer: torch.optim.Optimizer, limit: float, device: torch.device) -> Bool[torch.Tensor, " groups"]:
    """Scale each parameter group's gradient down to the norm ``limit``; whether it had a finite norm, on ``device``."""
    norms = []
    for group in optimizer.param_groups:
        # Of a group without gradients, such as a stage's before its window, PyTorch's norm would lie on the CPU.
        some = any(parameter.grad is not None for parameter in group["params"])
        norm = torch.nn.utils.clip_grad_norm_(group["params"], limit) if some else torch.zeros((), device=device)
        norms.append(norm.to(device))
    return torch.isfinite(torch.stack(norms))


def skip_groups(optimizer: torch.optim.Optimizer, finite: Bool[torch.Tensor, " groups"]) -> None:
    """Let the coming step leave each group that is not ``finite`` alone: its parameters and its moments.

    A fused Adam or AdamW finds out on the device. Any other optimizer must be told by gradients that are not there,
    for which the host waits.
    """
    groups = optimizer.param_groups
    if type(optimizer) in FUSED and all(group.get("fused") for group in groups):
        optimizer.param_groups = _Flagged(optimizer, groups, (~finite).float())
        return
    for group, good in zip(groups, finite.tolist(), strict=True):
        for parameter in () if good else group["params"]:
            parameter.grad = None


class _Flagged(list[dict[str, Any]]):
    """Parameter groups that show the optimizer, as its step comes to each, the flag by which that is skipped.

    PyTorch's fused optimizers look for it in ``found_inf``, where a scaler of gradients puts one for all groups.
    """

    def __init__(self, optimizer: Any, groups: list[dict[str, Any]], skipped: torch.Tensor) -> None:
        super().__init__(groups)
        self._optimizer = optimizer
        self._skipped = skipped.unbind()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for group, skipped in zip(super().__iter__(), self._skipped, strict=True):
            self._optimizer.found_inf = skipped
            yield group


class SkippedSteps:
    """Stops a training that skips its steps for good, or of which a stage's term is not finite.

    Args:
        codec: The codec that is trained.
    """

    def __init__(self, codec: nn.Module) -> None:
        self._codec = codec
        self._in_a_row = 0
        self._late: LateReading[tuple[tuple[str, ...], float, int]] = LateReading()

    def note(self, taken: torch.Tensor, penalties: Mapping[str, torch.Tensor], progress: float, step: int) -> None:
        """Take in whether a step is taken, with the stages' terms in it; on a GPU it is judged at the next one.

        Raises:
            UserError: Training has diverged.
        """
        numbers = torch.stack([taken.float(), *(term.float() for term in penalties.values())])
        for read, said in self._late(numbers, (tuple(penalties), progress, step)):
            self._judge(read, *said)

    def judge_all(self) -> None:
        """Judge what is still to be judged; raises as :meth:`note`."""
        for read, said in self._late.rest():
            self._judge(read, *said)

    def _judge(self, numbers: list[float], phases: tuple[str, ...], progress: float, step: int) -> None:
        taken, *terms = numbers
        if taken:
            self._in_a_row = 0
            return
        for phase, term in zip(phases, terms, strict=True):
            # A codec that has failed itself is not the stage's doing.
            if not math.isfinite(term) and all(torch.isfinite(p).all() for p in self._codec.parameters()):
                raise UserError(
                    f"{phase} must add a finite term to the loss, got {term:g} at epoch {progress:.2f}; lower its "
                    "weight or its learning rate in a new run."
                )
        self._in_a_row += 1
        if self._in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise UserError(
                f"Gradients must be finite, but the last {MAX_SKIPPED_IN_A_ROW} steps up to step {step} had none and "
                "were skipped; resume an earlier checkpoint with a lower optimizer.lr."
            )


def prefer_fused(optimizer: torch.optim.Optimizer) -> None:
    """Let an Adam or AdamW whose parameters are on a GPU take each step in one kernel, unless told otherwise."""
    for group in optimizer.param_groups:
        free = group.get("fused") is None and not any(group.get(key) for key in ("foreach", "differentiable"))
        if type(optimizer) in FUSED and free and all(p.is_cuda and p.is_floating_point() for p in group["params"]):
            group["fused"] = True


def keep_kernels(checkpoint: dict[str, Any], groups: list[dict[str, Any]]) -> None:
    """Let a resumed optimizer compute as this session's device wants, not as that of the one before did."""
    for state in checkpoint.get("optimizer_states", []):
        for saved, own in zip(state["param_groups"], groups, strict=False):
            saved |= {"fused": own["fused"]} if "fused" in own else {}
