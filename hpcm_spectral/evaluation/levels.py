"""The rate levels of a codec as settings name them."""

from collections.abc import Sequence

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import ConfigError

CURVE = 8


def check_level(codec: Codec, level: int, name: str) -> None:
    """Refuse a level that the codec does not have.

    Raises:
        ConfigError: It names the setting.
    """
    if not 0 <= level < codec.levels:
        several = codec.levels > 1
        must = f"lie between 0 and {codec.levels - 1}" if several else "be 0 or null"
        rates = f"{codec.levels} rates" if several else "one rate"
        raise ConfigError(f"{name} must {must} for {codec.name} of {rates}, got {level}.")


def curve_levels(codec: Codec, levels: Sequence[int] | None) -> list[int]:
    """The levels to score a codec at: those that are named, or at most eight, evenly spaced from the first to the last.

    Raises:
        ConfigError: One is named twice, or the codec does not have it.
    """
    if levels is None:
        return codec.spread_levels(CURVE)
    if len(set(levels)) < len(levels) or not levels:
        raise ConfigError(f"levels must name at least one level, and each once, got {list(levels)}.")
    for level in levels:
        check_level(codec, level, "levels")
    return sorted(levels)
