"""Codecs measured on files: rate, quality, time."""

from hpcm_spectral.evaluation.datasets import NAMED_SETS, EvaluationImages, NamedSet, find_images
from hpcm_spectral.evaluation.results import CodecScore, PerImage, curve, table, write_results
from hpcm_spectral.evaluation.score import ImageScore, score_codec

__all__ = [
    "NAMED_SETS",
    "CodecScore",
    "EvaluationImages",
    "ImageScore",
    "NamedSet",
    "PerImage",
    "curve",
    "find_images",
    "score_codec",
    "table",
    "write_results",
]
