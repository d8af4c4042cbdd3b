"""Probability models and symbol coders."""

from hpcm_spectral.entropy.generalized_gaussian import GeneralizedGaussianConditional, get_scale_table
from hpcm_spectral.entropy.symbol_coder import DecodingCoder, EncodingCoder, EstimatingCoder, PartialCoder, SymbolCoder

__all__ = [
    "DecodingCoder",
    "EncodingCoder",
    "EstimatingCoder",
    "GeneralizedGaussianConditional",
    "PartialCoder",
    "SymbolCoder",
    "get_scale_table",
]
