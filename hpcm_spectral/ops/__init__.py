"""Pure tensor functions, without state or parameters."""

from hpcm_spectral.ops.dct import BasisCache, dct_2d, dct_basis, filter_2d, idct_2d
from hpcm_spectral.ops.padding import Padding, aligned_padding, centred_padding
from hpcm_spectral.ops.rounding import ste_round
from hpcm_spectral.ops.wavelet import dwt_2d, wavelet_basis

__all__ = [
    "BasisCache",
    "Padding",
    "aligned_padding",
    "centred_padding",
    "dct_2d",
    "dct_basis",
    "dwt_2d",
    "filter_2d",
    "idct_2d",
    "ste_round",
    "wavelet_basis",
]
