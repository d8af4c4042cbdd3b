"""How far a prediction is from a latent, as the formula says or as a bounded share."""

from typing import Literal

import torch
from jaxtyping import Float

Distance = Literal["l2", "l1", "cosine"]
# Mean square below which a latent counts as silent. Latents are measured in quantisation steps.
POWER_FLOOR = 1e-6

Latent = Float[torch.Tensor, "B C h w"]
Scalar = Float[torch.Tensor, ""]


def mean_distance(kind: Distance, z: Latent, prediction: Latent) -> Scalar:
    """Mean distance over elements: squared (``l2``), absolute (``l1``), or 1 - cosine over channels (``cosine``).

    Example:
        >>> z = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
        >>> [mean_distance(kind, z, 0 * z).item() for kind in ("l2", "l1", "cosine")]
        [12.5, 3.5, 1.0]
    """
    if kind == "l2":
        return (z - prediction).square().mean()
    if kind == "l1":
        return (z - prediction).abs().mean()
    # The floor keeps the gradient finite where a vector is zero.
    floor = POWER_FLOOR * z.shape[1]
    norms = (z.square().sum(dim=1) + floor) * (prediction.square().sum(dim=1) + floor)
    return 1 - ((z * prediction).sum(dim=1) / norms.sqrt()).mean()


def unexplained(kind: Distance, z: Latent, prediction: Latent, *, means_stay: bool = False) -> Scalar:
    """The distance that the prediction leaves at its best gain, as a share of the distance that none would leave.

    For ``l2`` it is ``1 - <z, p>^2 / (|z|^2 |p|^2)``, the unexplained share of the power, from 0 to 1; ``l1`` takes the
    same gain, which is not its own best, and can exceed 1 a little; ``cosine`` needs no gain and lies within [0, 2].
    Scaling ``z`` or ``prediction`` as a whole changes nothing, and the gradients have no component along them.

    Args:
        kind: The distance.
        z: The latent.
        prediction: What an aligner makes of the finer one. Of both, each channel's mean is left out.
        means_stay: Leave it in, for a latent that is nothing else.

    Example:
        >>> z = torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(1, 1, 2, 2)
        >>> other = torch.tensor([1.0, 1.0, -1.0, -1.0]).reshape(1, 1, 2, 2)
        >>> [round(unexplained("l2", z, p).item(), 3) for p in (5 - 9 * z, z + other, other)]
        [0.0, 0.5, 1.0]
    """
    z, prediction = (_in_range(one) if means_stay else centred(one) for one in (z, prediction))
    if kind == "cosine":
        return mean_distance(kind, z, prediction)
    product, of_z, of_p = (z * prediction).mean(), z.square().mean() + POWER_FLOOR, prediction.square().mean()
    of_p = of_p + POWER_FLOOR
    if kind == "l2":
        return 1 - product.square() / (of_z * of_p)
    return (z - product / of_p * prediction).abs().mean() / (z.abs().mean() + POWER_FLOOR)


def centred(z: Latent) -> Latent:
    """``z`` without each channel's mean over batch and positions.

    A channel's mean says nothing about the image, and entropy models code it for free: with it, latents would seem to
    explain each other, and constants would pay.
    """
    z = _in_range(z)
    return z - z.mean(dim=(0, 2, 3), keepdim=True)


def _in_range(z: Latent) -> Latent:
    """Sums of squares of larger values would leave the range of float32."""
    return z / (z.detach().abs().amax() / 1e6).clamp(min=1)
