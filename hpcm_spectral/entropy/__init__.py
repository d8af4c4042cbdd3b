"""Probability models and symbol coders."""

from hpcm_spectral.entropy.gaussian import DiscretizedGaussian
from hpcm_spectral.entropy.generalized_gaussian import GeneralizedGaussianConditional, get_scale_table
from hpcm_spectral.entropy.symbol_coder import DecodingCoder, EncodingCoder, EstimatingCoder, PartialCoder, SymbolCoder
from hpcm_spectral.entropy.tabled import TabledConditional

__all__ = [
    "DecodingCoder",
    "DiscretizedGaussian",
    "EncodingCoder",
    "EstimatingCoder",
    "GeneralizedGaussianConditional",
    "PartialCoder",
    "SymbolCoder",
    "TabledConditional",
    "get_scale_table",
]
