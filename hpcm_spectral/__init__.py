"""Train HPCM learned image codecs with spectral regularization."""

import hpcm_spectral._torchvision_ops  # noqa: F401, I001  must precede every import that leads to torchvision
