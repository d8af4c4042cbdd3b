"""Codecs at their rate levels, scored one after another; what fails is named and left out."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import NamedTuple

from tqdm import tqdm

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import CodingError, UserError, sentence
from hpcm_spectral.evaluation.datasets import EvaluationImages
from hpcm_spectral.evaluation.results import CodecScore, PerImage
from hpcm_spectral.evaluation.score import ImageScore, score_codec
from hpcm_spectral.names import target_names

log = logging.getLogger(__name__)


class Point(NamedTuple):
    """A codec at one of its rate levels; ``lmbda`` is what that level was trained for, if the codec says so."""

    codec: str
    level: int
    lmbda: float | None
    score: CodecScore


@dataclass(frozen=True)
class Scored:
    """What came out.

    Attributes:
        points: In the order of their rates, all of the same images.
        images: Those images.
        failed: How many scores are missing, of ``wanted``.
        wanted: How many were to be made.
        without: The points of which no image could be scored.
    """

    points: list[Point]
    images: EvaluationImages
    failed: int
    wanted: int
    without: list[str]


def score_points(
    levels: Mapping[str, Mapping[str, int]],
    load: Callable[[str], Codec],
    images: EvaluationImages,
    bitstreams: Path,
    per_image: PerImage,
    stops: Callable[[UserError | OSError], bool],
) -> Scored:
    """Score codecs at their levels.

    A mean compares with another one only if both are over the same images, so that an image that fails anywhere takes
    part in none; its rows are kept where there are any.

    Args:
        levels: By the codecs' labels, each by its own.
        load: A codec, by its label, on the device to measure on.
        images: What to code.
        bitstreams: Gets a folder per point.
        per_image: Gets every score as it is made.
        stops: Which errors of an image end the evaluation.

    Raises:
        UserError: Nothing could be scored by all; or an error that ``stops``.
        OSError: Likewise.
    """
    wanted = [(label, name, level) for label, own in levels.items() for name, level in own.items()]
    count = len(wanted) * len(images.paths)
    points: list[Point] = []
    failures: list[UserError | OSError] = []
    with tqdm(total=count, unit="image", disable=None) as bar:

        def keep(result: ImageScore | UserError | OSError) -> None:
            bar.update()
            if isinstance(result, ImageScore):
                per_image.add(name, result)
                scores.append(result)
                return
            if stops(result):
                raise result
            failures.append(result)
            with tqdm.external_write_mode():
                log.error("skipped: %s", sentence(result))

        codecs: dict[str, Codec] = {}
        folders = target_names([PurePath(name.replace("/", "_")) for _, name, _ in wanted], "", whole=True)
        for (label, name, level), folder in zip(wanted, folders, strict=True):
            if label not in codecs:
                codecs = {label: load(label)}  # one at a time in memory
            codec = codecs[label]
            scores: list[ImageScore] = []
            bar.set_description(name)
            score_codec(codec, images, bitstreams / folder, keep, level)
            lmbda = None if codec.lmbdas is None else codec.lmbdas[level]
            points.append(Point(label, level, lmbda, CodecScore(name, tuple(scores))))
    without = [point.score.label for point in points if not point.score.images]
    points = [point for point in points if point.score.images]
    if not points:
        raise failures[0]
    everywhere = set.intersection(*({score.image for score in point.score.images} for point in points))
    if not everywhere:
        raise CodingError(
            f"Evaluation needs at least one image that every codec scores, but there is none; {per_image.path} keeps "
            f"the {len(per_image.rows)} scores that were measured."
        )
    kept = [path for path, name in zip(images.paths, images.names, strict=True) if name in everywhere]
    if lost := len(images.paths) - len(kept):
        # Some of a set are not the set.
        images = replace(images, paths=tuple(kept), skipped=images.skipped + lost, named=None)
    points = [
        point._replace(score=replace(own, images=tuple(score for score in own.images if score.image in everywhere)))
        for point in points
        for own in [point.score]
    ]
    points.sort(key=lambda point: point.score.mean("bpp") or 0.0)
    return Scored(points, images, len(failures), count, without)
