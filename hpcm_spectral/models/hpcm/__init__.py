"""HPCM: coding order, context model, codec and the keys of its published checkpoints."""

from hpcm_spectral.models.hpcm.model import HPCM
from hpcm_spectral.models.hpcm.published import from_published, published_keys
from hpcm_spectral.models.hpcm.variants import HPCM_Base, HPCM_Large, HPCM_Tiny

__all__ = [
    "HPCM",
    "HPCM_Base",
    "HPCM_Large",
    "HPCM_Tiny",
    "from_published",
    "published_keys",
]
