"""Codecs in CompressAI's conventions."""

from hpcm_spectral.models.files import load_codec, save_codec
from hpcm_spectral.models.hpcm import (
    HPCM,
    HPCM_Base,
    HPCM_Large,
    HPCM_Tiny,
    from_published,
)

__all__ = [
    "HPCM",
    "HPCM_Base",
    "HPCM_Large",
    "HPCM_Tiny",
    "from_published",
    "load_codec",
    "save_codec",
]
