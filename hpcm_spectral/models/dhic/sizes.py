"""The sizes of a DHIC: which are possible, and those that were published."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcm_spectral.errors import SettingError

LISTS = (
    "channels",
    "latent_channels",
    "encoder_depths",
    "prior_depths_before",
    "prior_depths_after",
    "decoder_depths_before",
    "decoder_depths_after",
)
LMBDAS = ("lmbda_min", "lmbda_max")
# Blocks in a row at one scale; the published model has at most 10.
MAX_DEPTH = 100
# Of published weights: 222,649,088 parameters. Lists run from the coarsest scale to the finest.
PUBLISHED: Mapping[str, Any] = {
    "channels": (512, 512, 512, 384),
    "latent_channels": (320, 256, 128, 64),
    "encoder_depths": (2, 4, 6, 8),
    "prior_depths_before": (2, 2, 3, 8),
    "prior_depths_after": (2, 2, 3),
    "decoder_depths_before": (2, 2, 3, 4),
    "decoder_depths_after": (2, 2, 3, 4),
    "stem_channels": 192,
    "stem_depth": 10,
    "patch": 8,
    "levels": 64,
    "lmbda_min": 256 / 255**2,
    "lmbda_max": 8192 / 255**2,
}


@dataclass(frozen=True)
class Sizes:
    """Checked sizes, see :class:`hpcm_spectral.models.dhic.DHIC`; lists run from the coarsest scale to the finest."""

    channels: Sequence[int]
    latent_channels: Sequence[int]
    encoder_depths: Sequence[int]
    prior_depths_before: Sequence[int]
    prior_depths_after: Sequence[int]
    decoder_depths_before: Sequence[int]
    decoder_depths_after: Sequence[int]
    stem_channels: int
    stem_depth: int
    patch: int
    levels: int
    lmbda_min: float
    lmbda_max: float
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in LISTS:
            values, scales = list(getattr(self, name)), len(self.channels)
            least = 1 if name in ("channels", "latent_channels") else 0
            # Of the prior path, nothing follows the latent of the finest scale.
            count, but = (scales - 1, " but the finest") if name == "prior_depths_after" else (scales, "")
            if not self.channels or len(values) != count:
                raise SettingError(
                    name, f"must hold a number for each scale{but}, of which channels has {scales}, got {values}."
                )
            if "depths" in name and values and max(values) > MAX_DEPTH:
                raise SettingError(name, f"must hold numbers up to {MAX_DEPTH}, got {values}.")
            if values and min(values) < least:
                raise SettingError(name, f"must hold numbers from {least} on, got {values}.")
        for name, least in (("stem_channels", 1), ("stem_depth", 0), ("patch", 1), ("levels", 1)):
            if (value := getattr(self, name)) < least:
                raise SettingError(name, f"must be at least {least}, got {value}.")
        for name, most in (("stem_depth", MAX_DEPTH), ("levels", 256)):
            if (value := getattr(self, name)) > most:
                raise SettingError(name, f"must be at most {most}, got {value}.")
        if not 0 < self.lmbda_min < math.inf:
            raise SettingError("lmbda_min", f"must be a number above 0, got {self.lmbda_min}.")
        if not self.lmbda_min < self.lmbda_max < math.inf:
            raise SettingError("lmbda_max", f"must lie above lmbda_min ({self.lmbda_min}), got {self.lmbda_max}.")

    @property
    def scales(self) -> int:
        """Number of scales."""
        return len(self.channels)

    @property
    def strides(self) -> list[int]:
        """Pixels per position of each scale's latent, coarsest first."""
        return [self.patch * 2**power for power in reversed(range(self.scales))]

    def arguments(self) -> dict[str, Any]:
        """Those that make a codec what it is, as JSON holds them."""
        plain = {name: getattr(self, name) for name in PUBLISHED}
        plain |= {name: float(plain[name]) for name in LMBDAS}
        return {name: list(value) if name in LISTS else value for name, value in plain.items()}
