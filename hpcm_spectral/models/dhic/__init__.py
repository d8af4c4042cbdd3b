"""DHIC, a true hierarchy: blocks, encoder, prior path, decoder, rate control, codec and the keys of its checkpoints."""

from hpcm_spectral.models.dhic.family import DHICFamily
from hpcm_spectral.models.dhic.model import DHIC
from hpcm_spectral.models.dhic.published import published_keys, to_published
from hpcm_spectral.models.registry import register_family

register_family(DHICFamily())

__all__ = ["DHIC", "published_keys", "to_published"]
