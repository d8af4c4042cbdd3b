"""Progressive context fusion: cross attention from the current step's parameters to the context so far."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import nn

from hpcm_spectral.ops.pointwise import PointwiseConv2d, in_format_of

HEAD_CHANNELS = 20


class WindowCrossAttention(nn.Module):
    """Cross attention within non-overlapping windows, plus a 1x1 convolution of the query.

    .. code-block:: none

        current ──► conv_q ──► windows, heads ──► softmax(Q K^T / sqrt(20)) V ──► (+) ──► context
        context ──► conv_k, conv_v ─────────────────────────▲                      ▲
        current ──► conv_out ──────────────────────────────────────────────────────┘

    Args:
        channels: Channels of query, memory and result, a multiple of 20 (the channels of a head).
        window: Side of a window; both sides of the plane are multiples of it.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.heads = channels // HEAD_CHANNELS
        self.window = window
        self.conv_q = PointwiseConv2d(channels, channels)
        self.conv_k = PointwiseConv2d(channels, channels)
        self.conv_v = PointwiseConv2d(channels, channels)
        self.conv_out = PointwiseConv2d(channels, channels)

    def forward(
        self, query: Float[torch.Tensor, "B C h w"], memory: Float[torch.Tensor, "B C h w"]
    ) -> Float[torch.Tensor, "B C h w"]:
        """Context for the next step."""
        convs = ((self.conv_q, query), (self.conv_k, memory), (self.conv_v, memory))
        q, k, v = (self._split(conv(x)) for conv, x in convs)
        merged = self._merge(_attend(q, k, v), *query.shape[-2:])
        return in_format_of(query, merged) + self.conv_out(query)

    def _split(self, x: torch.Tensor) -> Float[torch.Tensor, "windows heads positions 20"]:
        x = x.unflatten(1, (self.heads, HEAD_CHANNELS))
        x = x.unflatten(-1, (-1, self.window)).unflatten(-3, (-1, self.window))
        # batch, heads, channels, vertical windows, rows, horizontal windows, columns
        return x.permute(0, 3, 5, 1, 4, 6, 2).flatten(4, 5).flatten(0, 2)

    def _merge(self, x: torch.Tensor, height: int, width: int) -> Float[torch.Tensor, "B C h w"]:
        x = x.unflatten(0, (-1, height // self.window, width // self.window))
        x = x.unflatten(4, (self.window, self.window))
        # batch, vertical windows, horizontal windows, heads, rows, columns, channels
        return x.permute(0, 3, 6, 1, 4, 2, 5).flatten(1, 2).flatten(-2).flatten(2, 3)


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v)
    # On a CPU the gradient in bfloat16 takes six times as long.
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float()).to(q.dtype)
