"""Evaluate codecs: encode a folder of images to files, decode them, measure, compare with published curves."""

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict

from hpcm_spectral.cli.outputs import FULL, folder_to_fill, output_folder
from hpcm_spectral.codec import Codec
from hpcm_spectral.config import Megapixels, Names, Transforms, check_settings, plain
from hpcm_spectral.errors import CodingError, ConfigError
from hpcm_spectral.evaluation import EvaluationImages, PerImage, curve, find_images, table, write_results
from hpcm_spectral.evaluation.levels import curve_levels
from hpcm_spectral.evaluation.points import Point, Scored, score_points
from hpcm_spectral.evaluation.results import PER_IMAGE, RESULTS
from hpcm_spectral.metrics import MS_SSIM_MIN_SIDE
from hpcm_spectral.metrics.bd_rate import MIN_POINTS
from hpcm_spectral.models import load_codec
from hpcm_spectral.models.exported import read_description
from hpcm_spectral.names import few, printable
from hpcm_spectral.ops.devices import check_device
from hpcm_spectral.reports.rate_distortion import (
    FIGURE,
    Comparison,
    Curve,
    References,
    compare,
    draw_rate_distortion,
    read_references,
    sentences,
)
from hpcm_spectral.reports.style import save_figure
from hpcm_spectral.runs.folder import PROVENANCE
from hpcm_spectral.runs.provenance import describe_run, write_sessions
from hpcm_spectral.training.resources import accelerator_facts

log = logging.getLogger("hpcm_spectral")
BITSTREAMS = "bitstreams"
ReferenceSet = Literal["kodak", "clic_pro_valid", "tecnick"]


class EvaluationSettings(BaseModel):
    """The settings of ``conf/evaluate.yaml``."""

    model_config = ConfigDict(strict=True, extra="forbid")

    codec: str | list[str]
    images: str
    datasets: str
    reference_set: ReferenceSet | None
    levels: int | list[int] | None
    name: str | None
    device: Literal["cpu", "cuda"]
    transforms: Transforms
    on_error: Literal["skip", "raise"]
    max_megapixels: Megapixels
    output: str
    allow: Names = []


def run_evaluation(cfg: DictConfig) -> None:
    """Evaluate, write the results and print them.

    Raises:
        UserError: Something that the user can mend.
    """
    settings = check_settings(EvaluationSettings, plain(cfg))
    check_device(settings.device)
    output = output_folder(settings.output, "an evaluation", [RESULTS, PER_IMAGE, FIGURE, BITSTREAMS, PROVENANCE])
    codecs = _codec_folders(settings.codec)
    images = find_images(
        settings.images, Path(settings.datasets).expanduser(), settings.on_error, settings.max_megapixels
    )
    # Each is read once before the first is measured, which can take hours.
    descriptions, levels = {}, {}
    wanted = [settings.levels] if isinstance(settings.levels, int) else settings.levels
    for label, folder in codecs.items():
        codec = _load(folder, settings)
        chosen = curve_levels(codec, wanted)
        levels[label] = {label if codec.levels == 1 else f"{label}@{level}": level for level in chosen}
        content = read_description(folder)
        descriptions[label] = {"name": content["name"], "training": content.get("training")}
    if len(codecs) > 1 and (several := [label for label, own in levels.items() if len(own) > 1]):
        raise ConfigError(
            f"codec must name one codec where it is scored at several rate levels, a curve by themselves, got "
            f"{len(codecs)} with {several[0]}; evaluate it alone, or all at one of levels."
        )
    references_of = settings.reference_set or (images.named.name if images.named else "kodak")
    count = len(codecs)
    for remark in images.notes:
        log.info("images: %s", remark)
    log.info("%d codec%s, %d images of %s, on %s", count, _s(codecs), len(images.paths), images.title, settings.device)
    with folder_to_fill(output):
        scored = _score(codecs, levels, images, output, settings)
    images, points = scored.images, scored.points
    scores = [point.score for point in points]

    name = settings.name or _curve_name({point.codec: descriptions[point.codec] for point in points})
    results = curve(scores)
    references = read_references(references_of)
    own = Curve(name, results)
    comparisons, note = _compare(own, references, images, asked=settings.reference_set is not None)
    remarks = _remarks(scored, settings.transforms)

    notes = "\n".join(filter(None, [note, *remarks]))
    save_figure(draw_rate_distortion(own, references, comparisons, images=images.title, notes=notes), output / FIGURE)
    meta = {
        "images": {
            "folder": str(images.folder),
            "set": images.named.name if images.named else None,
            "count": len(images.paths),
            "skipped": images.skipped,
        },
        "codecs": [
            {
                "label": point.score.label,
                "folder": str(codecs[point.codec]),
                "level": point.level,
                "lmbda": point.lmbda,
                **descriptions[point.codec],
            }
            for point in points
        ],
        "device": torch.cuda.get_device_name() if settings.device == "cuda" else "cpu",
        "transforms": settings.transforms,
        "references": references.name,
        "bd_rate": [
            {"measure": c.measure, "reference": c.reference}
            | (asdict(c.result) | {"warning": c.note} if c.result is not None else {"percent": None, "reason": c.note})
            for c in comparisons
        ],
        "note": note,
        "remarks": remarks,
    }
    # Last: an evaluation that has this file is complete.
    write_results(output, name, results, meta)
    _conclude(points, comparisons, [note, *remarks], output)
    if scored.failed:
        raise CodingError(
            f"All images must be scored, but {scored.failed} of {scored.wanted} scores are missing; see above."
        )


def _score(
    codecs: dict[str, Path],
    levels: dict[str, dict[str, int]],
    images: EvaluationImages,
    output: Path,
    settings: EvaluationSettings,
) -> Scored:
    """Score every codec at each of its levels; what is measured is kept however this ends."""
    per_image = PerImage(output)
    # First: with it, what lies here is known as an evaluation's.
    write_sessions(output, [describe_run(None, accelerator_facts())])
    try:
        scored = score_points(
            levels,
            lambda label: _load(codecs[label], settings).to(settings.device),
            images,
            output / BITSTREAMS,
            per_image,
            lambda error: settings.on_error == "raise" or (isinstance(error, OSError) and error.errno in FULL),
        )
    except BaseException:
        if per_image.rows:
            log.info("%s keeps the %d scores that were measured", per_image.path, len(per_image.rows))
        else:
            shutil.rmtree(output / BITSTREAMS, ignore_errors=True)
            (output / PROVENANCE).unlink(missing_ok=True)
        raise
    per_image.sort([point.score.label for point in scored.points])
    return scored


def _load(folder: Path, settings: EvaluationSettings) -> Codec:
    codec = load_codec(folder, settings.allow)
    codec.set_transforms(getattr(torch, settings.transforms))
    return codec


def _codec_folders(codec: str | list[str]) -> dict[str, Path]:
    """The codecs by label: the folder's name, with as much of its parents as tells all apart."""
    given = [codec] if isinstance(codec, str) else codec
    if not given or not all(name.strip() for name in given):
        raise ConfigError(f"codec must name a folder, or several as [A,B], got {codec!r}.")
    folders = [Path(name).expanduser() for name in given]
    absolute = [folder.resolve() for folder in folders]
    if len(set(absolute)) < len(absolute):
        raise ConfigError(f"codec must name every folder once, got {', '.join(given)}.")
    labels = [printable(path.name or "codec") for path in absolute]
    if len(set(labels)) < len(labels):
        common = os.path.commonpath([path.parent for path in absolute])
        labels = [printable(path.relative_to(common).as_posix()) for path in absolute]
    return dict(zip(labels, folders, strict=True))


def _curve_name(descriptions: dict[str, dict[str, Any]]) -> str:
    if len(descriptions) == 1:
        return next(iter(descriptions))
    names = {description["name"] for description in descriptions.values()}
    return f"{names.pop()}, {len(descriptions)} codecs" if len(names) == 1 else f"{len(descriptions)} codecs"


def _compare(
    own: Curve, references: References, images: EvaluationImages, *, asked: bool
) -> tuple[list[Comparison], str]:
    """BD-rates as far as there can be any, and what to say about them."""
    same = images.named is not None and images.named.name == references.name
    if not same and not asked:
        return [], (
            f"The curves are of {references.title}, the points of other images ({images.title}): they do not compare, "
            f"and there is no BD-rate. reference_set={references.name} compares them all the same."
        )
    note = "" if same else f"The points are of {images.title}; that they compare is the user's word (reference_set)."
    if len(own.bpp) < MIN_POINTS:
        few = (
            f"BD-rate needs a curve of at least {MIN_POINTS} points, this one has {len(own.bpp)}: codec=[A,B,C,D], "
            "trained for different rates, or levels=[...] of a codec that has several."
        )
        return [], f"{note} {few}".strip()
    return compare(own, references), note


def _remarks(scored: Scored, transforms: Transforms) -> list[str]:
    """What to know of the figures, besides the curves that they are compared with."""
    remarks = [f"{label}: no image could be scored, so that it is no point of the curve." for label in scored.without]
    if transforms != "float32":
        remarks.append(f"Files of transforms in {transforms}; estimated bits are those of a forward pass in float32.")
    scores = [point.score for point in scored.points]
    if small := [score.image for score in scores[0].images if score.ms_ssim_db is None]:
        remarks.append(
            f"{len(small)} image{_s(small)} with a side under {MS_SSIM_MIN_SIDE} pixels: no MS-SSIM of {few(small)}, "
            "and no mean of it."
        )
    remarks += [
        f"{score.label}: no mean PSNR, as an image came back without any error or with values that are none."
        for score in scores
        if score.mean("psnr-rgb") is None
    ]
    if skipped := scored.images.skipped:
        remarks.append(f"{skipped} image{'s were' if skipped > 1 else ' was'} skipped, unreadable or not to be coded.")
    return remarks


def _conclude(points: Sequence[Point], comparisons: Sequence[Comparison], remarks: Sequence[str], output: Path) -> None:
    print(table([point.score for point in points]))
    print("means over the images; bpp is of the whole files, real/est. of the strings; MS-SSIM also in dB")
    if lmbdas := [f"{p.score.label} {p.lmbda:.4g}" for p in points if p.lmbda is not None]:
        print(f"lambda that each level was trained for, in the unit of loss.lmbda: {', '.join(lmbdas)}")
    if comparisons:
        print("\nBD-rate, negative where this curve needs fewer bits:")
    for line in sentences(comparisons):
        print(f"  {line}")
    for remark in filter(None, remarks):
        print(remark)
    log.info("in %s: %s, %s, %s, %s/", output, RESULTS, PER_IMAGE, FIGURE, BITSTREAMS)


def _s(things: Any) -> str:
    return "" if len(things) == 1 else "s"
