"""Codecs: what all families share (files, weights, fingerprints, sources), and the families themselves."""

from hpcm_spectral.models.compressai import CompressAI, CompressAICodec
from hpcm_spectral.models.dhic import DHIC
from hpcm_spectral.models.exported import load_codec, save_codec
from hpcm_spectral.models.hpcm import HPCM, HPCM_Base, HPCM_Large, HPCM_Tiny
from hpcm_spectral.models.registry import as_codec, check_exportable, from_published

__all__ = [
    "DHIC",
    "HPCM",
    "CompressAI",
    "CompressAICodec",
    "HPCM_Base",
    "HPCM_Large",
    "HPCM_Tiny",
    "as_codec",
    "check_exportable",
    "from_published",
    "load_codec",
    "save_codec",
]
