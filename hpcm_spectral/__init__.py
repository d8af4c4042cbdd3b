"""Train HPCM learned image codecs with spectral regularization."""

import hpcm_spectral._torchvision_ops  # noqa: F401  must precede every import that leads to torchvision
from hpcm_spectral.stages import DCTTransform, InterScaleRegularizer, SpectralTruncation

__version__ = "0.2.0"
__all__ = ["DCTTransform", "InterScaleRegularizer", "SpectralTruncation", "__version__"]
