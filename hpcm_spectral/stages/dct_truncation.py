"""Phase 1: progressive DCT truncation of the training images (the paper's intra-scale regularization, eq. 4)."""

import math
from functools import lru_cache
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float

from hpcm_spectral.errors import SettingError
from hpcm_spectral.ops import dct_2d, filter_2d, idct_2d
from hpcm_spectral.schedules import LinearSchedule, TauSchedule
from hpcm_spectral.stages.base import InputStage, Numbers

Mask = Literal["soft", "hard", "soft_identity"]
Target = Literal["truncated", "original"]
MOMENTS = 4
MASKS: tuple[Mask, ...] = get_args(Mask)


def cutoff(mask: Mask, tau: float, tau_final: float) -> float:
    """Radius beyond which a mask is zero.

    ``soft_identity`` widens its cutoff ``tau / (1 - tau / tau_final)`` without limit as tau reaches ``tau_final``,
    so that full images follow without a jump.
    """
    if mask != "soft_identity":
        return tau
    return tau / (1 - tau / tau_final) if tau < tau_final else math.inf


def radial_mask(
    mask: Mask,
    radius: float,
    height: int,
    width: int,
    *,
    rows: int,
    columns: int,
    device: torch.device | None = None,
) -> Float[torch.Tensor, "rows columns"]:
    """Mask over the lowest ``rows`` x ``columns`` frequencies of a ``height`` x ``width`` image, in float64.

    ``r = sqrt((u / height)^2 + (v / width)^2)``; soft masks fall linearly from 1 at r = 0 to 0 at ``radius`` (eq. 4),
    the hard one is 1 for r below ``radius``.
    """
    u = torch.arange(rows, dtype=torch.float64, device=device)[:, None] / height
    v = torch.arange(columns, dtype=torch.float64, device=device)[None, :] / width
    r = torch.sqrt(u * u + v * v)
    return (r < radius).double() if mask == "hard" else torch.clamp(1 - r / radius, min=0)


def truncate(
    x: Float[torch.Tensor, "*batch H W"], tau: float, *, mask: Mask = "soft", tau_final: float = 1.0
) -> Float[torch.Tensor, "*batch H W"]:
    """Keep the radial frequencies of an image below the cutoff tau: ``P_H^T (F * M) P_W`` (eq. 4).

    The mask is zero outside the lowest ``ceil(tau H)`` x ``ceil(tau W)`` frequencies, so only these are
    computed. Works in float32 (float64 for float64 input), under autocast too.

    Args:
        x: Images of any size.
        tau: Cutoff as a share of the sampling band, above 0.
        mask: ``soft``, ``hard`` or ``soft_identity``.
        tau_final: Cutoff at which ``soft_identity`` is the identity.

    Returns:
        Images of the same shape and dtype. Values can leave [0, 1] slightly, as band-limited images do.

    Raises:
        ValueError: ``tau`` is not above 0, or the mask is unknown.

    Example:
        >>> x = torch.full((1, 3, 8, 8), 0.5)
        >>> torch.allclose(truncate(x, 0.1), x)  # a constant image is its own lowest frequency
        True
    """
    if not tau > 0:
        raise ValueError(f"tau must be above 0, got {tau}.")
    if mask not in MASKS:
        raise SettingError("mask", f"must be one of {', '.join(MASKS)}, got {mask!r}.")
    radius = cutoff(mask, tau, tau_final)
    if math.isinf(radius):
        return x
    height, width = x.shape[-2:]
    rows, columns = (min(size, math.ceil(radius * size)) for size in (height, width))
    precision = torch.float64 if x.dtype == torch.float64 else torch.float32
    weights = _weights(mask, radius, height, width, rows, columns, precision, x.device)
    return filter_2d(x, weights).to(x.dtype)


@lru_cache(maxsize=4)
def _weights(
    mask: Mask,
    radius: float,
    height: int,
    width: int,
    rows: int,
    columns: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Float[torch.Tensor, "rows columns"]:
    """The mask where it is needed; tau, and so the mask, usually stays for a whole epoch."""
    # Made on the device, the host need not wait for it to come there; Apple's devices have no float64.
    place = torch.device("cpu") if device.type == "mps" else device
    with torch.inference_mode(False):
        weights = radial_mask(mask, radius, height, width, rows=rows, columns=columns, device=place)
        return weights.to(device=device, dtype=dtype)


class SpectralTruncation(InputStage):
    """Phase 1 as a stage: training images whose bandwidth opens from tau_init to tau_final.

    .. code-block:: none

        x ──► DCT ──► F * M(tau) ──► inverse DCT ──► x~ ──► codec, loss
                           ▲
             progress ──► schedule

    Args:
        tau_init: First cutoff of a linear schedule (ignored when ``schedule`` is given).
        tau_final: Its last cutoff.
        num_epochs: Its length in epochs; the stage acts until then.
        schedule: Any schedule of tau.
        mask: ``soft`` (eq. 4; at tau = 1 it is 1 - r, not the identity), ``hard`` (1 below tau) or
            ``soft_identity`` (soft, opening to the identity at tau_final).
        target: What the loss compares the reconstruction with: the ``truncated`` images (the paper) or the
            ``original`` ones.

    Raises:
        ValueError: A value is outside its range.
    """

    phase = "phase1_intra"

    def __init__(
        self,
        tau_init: float = 0.05,
        tau_final: float = 1.0,
        num_epochs: int = 100,
        *,
        schedule: TauSchedule | None = None,
        mask: Mask = "soft",
        target: Target = "truncated",
    ) -> None:
        schedule = schedule or LinearSchedule(tau_init, tau_final, num_epochs)
        super().__init__(start_epoch=0, end_epoch=schedule.num_epochs)
        if mask not in MASKS:
            raise SettingError("mask", f"must be one of {', '.join(MASKS)}, got {mask!r}.")
        if target not in get_args(Target):
            raise SettingError("target", f"must be truncated or original, got {target!r}.")
        if mask == "soft_identity" and schedule.tau_init == schedule.tau_final:
            raise SettingError(
                "mask",
                f"soft_identity needs a schedule whose tau rises, got {schedule.tau_final} throughout, "
                "which leaves every image whole; lower schedule.tau_init.",
            )
        self.schedule = schedule
        self.mask: Mask = mask
        self.target = target
        self.replaces_target = target == "truncated"

    def get_tau(self, epoch: float) -> float:
        """Cutoff at ``epoch`` (may have a fraction)."""
        return self.schedule(epoch)

    def apply_truncation(
        self, images: Float[torch.Tensor, "*batch H W"], epoch: float
    ) -> Float[torch.Tensor, "*batch H W"]:
        """Images as training sees them at ``epoch``; whole ones after the phase's end."""
        if not self.is_active(epoch):
            return images
        return truncate(images, self.get_tau(epoch), mask=self.mask, tau_final=self.schedule.tau_final)

    def forward(
        self, x: Float[torch.Tensor, "B 3 H W"], progress: float
    ) -> tuple[Float[torch.Tensor, "B 3 H W"], Numbers]:
        """See :meth:`apply_truncation`; with ``spectral/tau``."""
        return self.apply_truncation(x, progress), {"spectral/tau": self.get_tau(progress)}

    def describe(self) -> dict[str, Any]:
        """Mask, target, last cutoff, and at most four epochs with different cutoffs, the first and the last among."""
        length = self.schedule.num_epochs
        by_epoch = self.schedule.granularity == "epoch"
        # At num_epochs the stage no longer acts, so tau_final itself is never trained on.
        last = length - 1 if by_epoch else length - 1e-6
        epochs = [last * part / (MOMENTS - 1) for part in range(MOMENTS)]
        moments: dict[float, list[float]] = {}
        for epoch in map(math.floor, epochs) if by_epoch else epochs:
            tau = self.get_tau(epoch)
            moments.setdefault(round(tau, 6), [float(epoch), tau])
        return {
            "kind": "dct_truncation",
            "mask": self.mask,
            "target": self.target,
            "tau_final": self.schedule.tau_final,
            "moments": list(moments.values()),
        }


class DCTTransform:
    """Orthonormal two-dimensional DCT-II and its inverse, under the names of the earlier public attempt."""

    @staticmethod
    def dct_2d(x: Float[torch.Tensor, "B C H W"]) -> Float[torch.Tensor, "B C H W"]:
        """Coefficients of every channel, DC first."""
        return dct_2d(x)

    @staticmethod
    def idct_2d(f: Float[torch.Tensor, "B C H W"]) -> Float[torch.Tensor, "B C H W"]:
        """Images from coefficients."""
        return idct_2d(f)
