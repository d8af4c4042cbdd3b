"""The context model of HPCM and its single traversal of the eleven coding steps.

Letters: B batch, C channels of y, CC and CCC twice and three times as many, h and w positions of a scale.
"""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import nn

from hpcm_spectral.codec import ScaleLatent
from hpcm_spectral.entropy import SymbolCoder
from hpcm_spectral.models.hpcm.attention import WindowCrossAttention
from hpcm_spectral.models.hpcm.layers import DWConvRB
from hpcm_spectral.models.hpcm.order import (
    CODING_STEPS,
    SCALES,
    CodingStep,
    fold,
    group_index,
    shift_to_published,
    to_coarser,
    to_finer,
    unfold_into,
)
from hpcm_spectral.models.hpcm.sizes import HyperPriorOrder
from hpcm_spectral.ops.pointwise import PointwiseConv2d
from hpcm_spectral.ops.recomputing import recomputed


class ContextNet(nn.Module):
    """Scales and means of a step from the context and the values decoded so far: blocks, the step's gain, blocks."""

    def __init__(self, channels: int, depth_before: int, depth_after: int) -> None:
        super().__init__()
        self.before = nn.Sequential(*(DWConvRB(3 * channels) for _ in range(depth_before)))
        self.after = nn.Sequential(*(DWConvRB(3 * channels) for _ in range(depth_after)))
        self.out = PointwiseConv2d(3 * channels, 2 * channels)

    def forward(
        self, params: Float[torch.Tensor, "B CCC h w"], gain: Float[torch.Tensor, "1 CCC 1 1"]
    ) -> Float[torch.Tensor, "B CC h w"]:
        """Scales, then means."""
        return self.out(self.after(self.before(params) * gain))


class ProgressiveContext(nn.Module):
    """Codes y in eleven steps, each with a prior from the hyper prior and all values coded before.

    .. code-block:: none

        hyper prior ──► slices of scales 1, 2, 3
                              │
        per scale:  context ◄─┴─ conv1x1(context of the coarser scale + hyper prior at the free positions)
        per step:   params = cat(context, y_hat)
                    current = context_net(adaptor(params), gain)  ──► scales, means ──► coder ──► y_hat
                    context = attention(current, context)

    Args:
        channels: Channels of y, C: a multiple of 40.
        depths_coarse: Blocks before and after the gain, in the network that scales 1 and 2 share.
        depths_fine: Those of scale 3.
        cross_attention: False passes the current parameters on as context.
        hyper_prior_order: ``published`` reproduces where the published model puts the hyper prior at scale 2 (its
            checkpoints need it); ``aligned`` puts it where it belongs.
        checkpointed: Compute each step's networks again in the backward pass instead of keeping what is inside them.
    """

    def __init__(
        self,
        channels: int,
        depths_coarse: Sequence[int],
        depths_fine: Sequence[int],
        *,
        cross_attention: bool = True,
        hyper_prior_order: HyperPriorOrder = "published",
        checkpointed: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.checkpointed = checkpointed
        self.hyper_prior_order = hyper_prior_order
        conditioned = len(CODING_STEPS) - 1
        self.adaptors = nn.ModuleList(PointwiseConv2d(3 * channels, 3 * channels) for _ in range(conditioned))
        self.gains = nn.ParameterList(nn.Parameter(torch.ones(1, 3 * channels, 1, 1)) for _ in range(conditioned))
        self.net_coarse = ContextNet(channels, *depths_coarse)
        self.net_fine = ContextNet(channels, *depths_fine)
        self.attention = (
            nn.ModuleList(WindowCrossAttention(2 * channels, scale.window) for scale in SCALES)
            if cross_attention
            else None
        )
        self.between = nn.ModuleList(PointwiseConv2d(2 * channels, 2 * channels) for _ in SCALES[1:])

    def forward(
        self,
        hyper_prior: Float[torch.Tensor, "B CC h w"],
        coder: SymbolCoder,
        y: Float[torch.Tensor, "B C h w"] | None = None,
        inside: Bool[torch.Tensor, "1 1 h w"] | None = None,
    ) -> list[ScaleLatent]:
        """Drive ``coder`` through the eleven steps.

        Args:
            hyper_prior: Scales, then means; sides are multiples of 16.
            coder: What happens to each step's values.
            y: The values to code; None to decode them.
            inside: False where nothing is coded, because the position lies in the padding; None: code all.

        Returns:
            Decoded values per scale, coarsest first; the last one is y_hat.
        """
        priors = self._slices(hyper_prior, halves=2)
        targets = self._slices(y, halves=1) if y is not None else None
        masks = None if inside is None else self._slices(inside.expand(-1, self.channels, -1, -1), halves=1)
        latents: list[ScaleLatent] = []
        context, y_hat = priors[0], torch.zeros_like(priors[0][:, : self.channels])

        for step, following in zip(CODING_STEPS, (*CODING_STEPS[1:], None), strict=True):
            scale = SCALES[step.scale]
            if step.enters_scale and step.scale > 0:
                context, y_hat = self._enter(step.scale, context, y_hat, priors[step.scale])
            if step.index is None:
                current = context
            else:
                run = partial(recomputed, when=self.checkpointed)
                current = run(self._prior, step, context, y_hat)
                if following is not None:
                    attention = None if self.attention is None else self.attention[step.scale]
                    context = current if attention is None else run(attention, current, context)

            index = group_index(step.cell, *current.shape[-2:], current.device)
            scales, means = (fold(half, scale.groups, index) for half in current.chunk(2, dim=1))
            values = None if targets is None else fold(targets[step.scale], scale.groups, index)
            mask = None if masks is None else fold(masks[step.scale], scale.groups, index)
            decoded = coder.code(values, scales, means, mask)
            y_hat = unfold_into(y_hat.to(decoded.dtype), decoded, scale.groups, index)
            if following is None or following.enters_scale:
                new = torch.ones_like(y_hat[:1], dtype=torch.bool)
                if step.scale > 0:
                    new = to_finer(torch.zeros_like(new[..., ::2, ::2]), new, scale)
                latents.append(ScaleLatent(y_hat, new))
        return latents

    def _prior(self, step: CodingStep, context: torch.Tensor, y_hat: torch.Tensor) -> torch.Tensor:
        """Scales and means of one step's values."""
        assert step.index is not None
        params = self.adaptors[step.index](torch.cat((context, y_hat.to(context.dtype)), dim=1))
        net = self.net_fine if step.scale == 2 else self.net_coarse
        return net(params, self.gains[step.index])

    def _slices(self, x: torch.Tensor, halves: int) -> list[torch.Tensor]:
        """``x`` at every scale, coarsest first; each half (scales, means) is sliced on its own."""
        parts = list(x.chunk(halves, dim=1))
        slices = [x]
        for scale in reversed(SCALES[1:]):
            parts = [to_coarser(part, scale) for part in parts]
            slices.insert(0, torch.cat(parts, dim=1))
        return slices

    def _enter(
        self, s: int, context: torch.Tensor, y_hat: torch.Tensor, prior: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Context and decoded values at scale ``s`` from those of the coarser scale."""
        scale, halves = SCALES[s], []
        for coarse, fine in zip(context.chunk(2, dim=1), prior.chunk(2, dim=1), strict=True):
            if scale.published_source and self.hyper_prior_order == "published":
                fine = shift_to_published(fine, scale)
            halves.append(to_finer(coarse, fine.to(coarse.dtype), scale))
        batch, _, height, width = prior.shape
        free = y_hat.new_zeros(batch, self.channels, height, width)
        return self.between[s - 1](torch.cat(halves, dim=1)), to_finer(y_hat, free, scale)
