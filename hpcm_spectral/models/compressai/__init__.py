"""CompressAI's image codecs, and anybody's ``CompressionModel``, behind the protocol."""

from hpcm_spectral.models.compressai.codec import CompressAICodec
from hpcm_spectral.models.compressai.family import CompressAIFamily
from hpcm_spectral.models.compressai.zoo import CompressAI
from hpcm_spectral.models.registry import register_family

register_family(CompressAIFamily())

__all__ = ["CompressAI", "CompressAICodec"]
