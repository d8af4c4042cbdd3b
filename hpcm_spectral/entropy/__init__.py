"""Probability models and symbol coders."""

from hpcm_spectral.entropy.generalized_gaussian import GeneralizedGaussianConditional, get_scale_table
from hpcm_spectral.entropy.symbol_coder import EstimatingCoder, SymbolCoder

__all__ = ["EstimatingCoder", "GeneralizedGaussianConditional", "SymbolCoder", "get_scale_table"]
