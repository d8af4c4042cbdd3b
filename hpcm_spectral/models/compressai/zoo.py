"""The six image architectures of CompressAI's zoo and a variant of one, with their own widths per quality."""

import inspect
from collections.abc import Mapping

from compressai.models import CompressionModel
from compressai.registry import MODELS
from compressai.zoo.image import cfgs

from hpcm_spectral.models.compressai.codec import CompressAICodec

ARCHITECTURES: Mapping[str, type[CompressionModel]] = {name: MODELS[name] for name in cfgs}
# What a file may ask for; the zoo's largest is 320.
MAX_WIDTH = 4096


def CompressAI(  # noqa: N802  it stands for a class
    architecture: str,
    quality: int = 1,
    N: int | None = None,  # noqa: N803  CompressAI's name
    M: int | None = None,  # noqa: N803
) -> CompressAICodec:
    """An architecture of CompressAI's zoo with fresh weights.

    Args:
        architecture: ``bmshj2018-factorized`` (or ``-relu``), ``bmshj2018-hyperprior``, ``mbt2018-mean``, ``mbt2018``,
            ``cheng2020-anchor`` or ``cheng2020-attn``.
        quality: 1 (lowest) to 8, of the two last ones to 6: decides the widths, as in the zoo. The rate is decided by
            the loss's ``lmbda``.
        N: Channels of the transforms; None: those of the quality.
        M: Channels of the latent, of which the two last ones have none of their own; None: those of the quality.

    Raises:
        ValueError: There is no such architecture or quality, or a width is impossible.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, got {architecture!r}.")
    if quality not in cfgs[architecture]:
        raise ValueError(f"quality must be 1 to {max(cfgs[architecture])} for {architecture}, got {quality}.")
    widths = dict(zip(width_names(architecture), cfgs[architecture][quality], strict=True))
    for name, width in (("N", N), ("M", M)):
        if width is None:
            continue
        if name not in widths:
            raise ValueError(f"{name} must be left out for {architecture}, which has no such width, got {width}.")
        if not 1 <= width <= MAX_WIDTH:
            raise ValueError(f"{name} must lie between 1 and {MAX_WIDTH}, got {width}.")
        widths[name] = width
    return build(architecture, widths)


def build(architecture: str, widths: Mapping[str, int]) -> CompressAICodec:
    """An architecture of given widths."""
    return CompressAICodec(ARCHITECTURES[architecture](**widths), architecture, widths)


def width_names(architecture: str) -> list[str]:
    """``N`` and ``M``, as far as an architecture takes them."""
    parameters = inspect.signature(ARCHITECTURES[architecture]).parameters
    return [name for name in ("N", "M") if name in parameters]
