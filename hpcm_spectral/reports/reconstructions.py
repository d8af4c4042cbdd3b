"""Validation photographs beside what phase 1 shows of them and what the codec makes of them."""

import itertools
import sys

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpcm_spectral.data import as_tensor, read_image
from hpcm_spectral.errors import DataError
from hpcm_spectral.reports.picture_inputs import RunFolder, Truncation
from hpcm_spectral.reports.style import DPI, WIDTH, add_note, new_figure, shortened
from hpcm_spectral.runs.sample_index import Sample

MAX_SAMPLES = 3
VIEW_WITH_TRUNCATION = (320, 320)
VIEW = (400, 600)
ERROR_GAIN = 4
MAX_HEIGHT = 9.0
TITLE_HEIGHT = 0.5
GAP = 0.16

Picture = Float[torch.Tensor, "C H W"]


def draw_reconstructions(run: RunFolder) -> Figure | None:
    """A row per sample: original, truncated at several cutoffs, decoded; without phase 1: original, decoded, error.

    None if there are no samples.

    Raises:
        DataError: An image is missing or damaged, or the two of a sample differ in size.
    """
    if not run.samples:
        return None
    view = VIEW_WITH_TRUNCATION if run.truncation else VIEW
    rows, cropped = [], False
    for sample in run.samples[:MAX_SAMPLES]:
        original, decoded = read_pair(sample)
        cropped |= any(size > limit for size, limit in zip(original.shape[-2:], view, strict=True))
        rows.append(row_of_pictures(sample, middle(original, view), middle(decoded, view), run.truncation))
    columns = len(rows[0])
    shape = max(picture.shape[1] / picture.shape[2] for row in rows for _, picture in row)
    figure = new_figure(min(MAX_HEIGHT, len(rows) * (shape * (WIDTH / columns - GAP) + TITLE_HEIGHT) + 0.8))
    figure.suptitle(run.title, fontsize=14, parse_math=False)
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (label, picture) in zip(panels.flat, itertools.chain.from_iterable(rows), strict=True):
        show(axes, picture)
        axes.set_title(label, fontsize=10, parse_math=False)
    add_note(figure, footnote(run, view, cropped))
    return figure


def read_pair(sample: Sample) -> tuple[Picture, Picture]:
    """Original and reconstruction of a sample, values in [0, 1].

    Raises:
        DataError: An image is missing or damaged, or their sizes differ.
    """
    # The run wrote them, of any size that its settings allow.
    original, decoded = (as_tensor(read_image(path, sys.maxsize)) for path in (sample.original, sample.decoded))
    if original.shape != decoded.shape:
        sizes = [f"{width}x{height}" for _, height, width in (original.shape, decoded.shape)]
        raise DataError(
            f"{sample.decoded} must be as large as {sample.original.name} ({sizes[0]}), but is {sizes[1]}; "
            "remove the samples folder or restore it."
        )
    return original, decoded


def middle(image: Picture, view: tuple[int, int]) -> Float[torch.Tensor, "C rows columns"]:
    """The middle of an image, at most ``view`` (rows, columns) large."""
    (height, width), (rows, columns) = image.shape[-2:], view
    top, left = max(0, (height - rows) // 2), max(0, (width - columns) // 2)
    return image[:, top : top + rows, left : left + columns]


def row_of_pictures(
    sample: Sample, original: Picture, decoded: Picture, truncation: Truncation | None
) -> list[tuple[str, Picture]]:
    """Pictures of a sample with their titles."""
    pictures = [(f"{shortened(sample.name, 26)}\noriginal", original)]
    if truncation is not None:
        pictures += [
            (f"truncated, τ = {tau:.3g}\nepoch {epoch:.4g}", truncation.apply(original, tau))
            for epoch, tau in truncation.moments
        ]
    pictures.append((f"decoded\n{sample.bpp:.3g} bpp, {sample.psnr:.2f} dB", decoded))
    if truncation is None:
        pictures.append((f"absolute error,\ntimes {ERROR_GAIN}", ERROR_GAIN * (original - decoded).abs()))
    return pictures


def show(axes: Axes, picture: Picture) -> None:
    """Show a picture with its own aspect ratio."""
    pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    # Scaled up, pixels stay pixels; scaled down, they are averaged.
    small = max(pixels.shape[:2]) < DPI
    axes.imshow(np.ascontiguousarray(pixels), interpolation="nearest" if small else "antialiased")
    axes.set_axis_off()


def footnote(run: RunFolder, view: tuple[int, int], cropped: bool) -> str:
    """How to read the pictures."""
    parts = [f"Shown: the middle {view[1]} by {view[0]} pixels at most."] if cropped else []
    parts.append("bpp and PSNR are of the whole photograph.")
    if run.truncation:
        parts.append(f"Truncated: phase 1's {run.truncation.mask} mask at cutoffs of its schedule, first to last.")
        if run.metrics and run.metrics.newest_epoch < run.truncation.moments[-1][0]:
            parts.append(f"\nThis run got as far as epoch {run.metrics.newest_epoch:.3g}.")
    return " ".join(parts).replace(" \n", "\n")
