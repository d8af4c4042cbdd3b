"""Pure tensor functions, without state or parameters."""

from hpcm_spectral.ops.dct import BasisCache, dct_2d, dct_basis, idct_2d
from hpcm_spectral.ops.padding import Padding, centred_padding
from hpcm_spectral.ops.rounding import ste_round

__all__ = ["BasisCache", "Padding", "centred_padding", "dct_2d", "dct_basis", "idct_2d", "ste_round"]
