"""HPCM: coding order, context model, codec and the keys of its published checkpoints."""

from hpcm_spectral.models.hpcm.family import HPCMFamily
from hpcm_spectral.models.hpcm.model import HPCM
from hpcm_spectral.models.hpcm.presets import HPCM_Base, HPCM_Large, HPCM_Tiny
from hpcm_spectral.models.hpcm.published import published_keys
from hpcm_spectral.models.registry import register_family

register_family(HPCMFamily())

__all__ = ["HPCM", "HPCM_Base", "HPCM_Large", "HPCM_Tiny", "published_keys"]
