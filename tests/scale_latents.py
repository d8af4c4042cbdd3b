"""Latents of three scales, and stages prepared for them, for the tests of phase 2."""

import torch

from hpcm_spectral import InterScaleRegularizer
from hpcm_spectral.codec import ScaleLatent


def hierarchy(
    *scales: float,
    channels: tuple[int, ...] = (4, 6, 4),
    dtype: torch.dtype = torch.float32,
    size: int = 2,
    seed: int = 0,
) -> list[ScaleLatent]:
    """Random latents of three scales, each with its own size of values, of which the finer ones inherit a quarter."""
    generator = torch.Generator().manual_seed(seed)
    latents = []
    for number, (factor, count) in enumerate(zip(scales or (1.0, 1.0, 1.0), channels, strict=True)):
        side = size * 2**number
        y_hat = factor * torch.randn(2, count, side, side, generator=generator, dtype=dtype)
        new = torch.ones(1, count, side, side, dtype=torch.bool)
        if number:
            new[..., ::2, ::2] = False
        latents.append(ScaleLatent(y_hat.requires_grad_(), new))
    return latents


def prepared(like: list[ScaleLatent], *, steps: int = 0, **arguments: object) -> InterScaleRegularizer:
    """A stage for such latents whose aligners have taken some steps of explaining them."""
    torch.manual_seed(0)
    stage = InterScaleRegularizer(**arguments)
    stage.prepare(like)
    stage.to(like[0].y_hat.dtype)
    if steps:
        measuring = InterScaleRegularizer(**{**arguments, "delta": 0.0, "aligner": "adversarial"})
        measuring.prepare(like)
        measuring.to(like[0].y_hat.dtype).load_state_dict(stage.state_dict())
        optimizer = torch.optim.Adam(measuring.parameters(), lr=2e-2)
        fixed = [ScaleLatent(latent.y_hat.detach(), latent.newly_coded) for latent in like]
        for _ in range(steps):
            optimizer.zero_grad()
            measuring(fixed, 0.0)[0].backward()
            optimizer.step()
        stage.load_state_dict(measuring.state_dict())
    stage.zero_grad()
    return stage
