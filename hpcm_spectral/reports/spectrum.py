"""Phase 1's masks, what they leave of a photograph's spectrum, and what the codec keeps of it."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpcm_spectral.metrics import radial_spectrum
from hpcm_spectral.reports import style
from hpcm_spectral.reports.picture_inputs import RunFolder, Truncation
from hpcm_spectral.reports.reconstructions import middle, read_pair
from hpcm_spectral.reports.style import (
    PALETTE,
    TAU_STYLES,
    Dashes,
    add_note,
    legend_label,
    name_axes,
    new_figure,
    shortened,
)
from hpcm_spectral.stages.dct_truncation import cutoff, radial_mask

MAX_SAMPLES = 3
# A DCT basis of this size takes 8 MB; a photograph of a camera would take seconds and gigabytes.
VIEW = (1024, 1024)
RADII_PER_UNIT = 1000
SAMPLE_DASHES: tuple[Dashes, ...] = ("solid", (0.0, (6.0, 2.0)), (0.0, (2.0, 1.5)))

Image = Float[torch.Tensor, "C H W"]


def draw_spectrum(run: RunFolder) -> Figure | None:
    """Up to three panels: masks, spectra of the first sample, share of energy that the codec keeps.

    None if phase 1 is off and there are no samples.

    Raises:
        DataError: An image of the samples is missing or damaged.
    """
    samples = run.samples[:MAX_SAMPLES]
    count = (run.truncation is not None) + 2 * bool(samples)
    if count == 0:
        return None
    pairs = [(middle(a, VIEW).double(), middle(b, VIEW).double()) for a, b in map(read_pair, samples)]
    figure = new_figure(6.4)
    figure.suptitle(run.title, fontsize=14, parse_math=False)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    if run.truncation is not None:
        panel_of_masks(panels.pop(0), run.truncation)
    if samples:
        panel_of_energy(panels.pop(0), samples[0].name, *pairs[0], run.truncation)
        panel_of_kept(panels.pop(0), [sample.name for sample in samples], pairs)
    add_note(figure, "r = √((u/H)² + (v/W)²): r = 1 is the highest frequency of a row or column, √2 the corner.")
    return figure


def mask_profile(truncation: Truncation, tau: float) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, " R"]]:
    """Radii from 0 to the square root of 2, and phase 1's mask there at the cutoff ``tau``."""
    rows = math.floor(math.sqrt(2) * RADII_PER_UNIT) + 1
    radius = cutoff(truncation.mask, tau, truncation.tau_final)
    # A single column has v = 0, so that r = u / height.
    mask = radial_mask(truncation.mask, radius, RADII_PER_UNIT, 1, rows=rows, columns=1)[:, 0]
    return np.arange(rows) / RADII_PER_UNIT, mask.numpy()


def panel_of_masks(axes: Axes, truncation: Truncation) -> None:
    """The mask at several cutoffs."""
    name_axes(axes, title=f"Mask M(r), {truncation.mask}", x="radius r", y="M")
    mark_radii(axes)
    for tau, look in looks_of_taus(truncation):
        axes.plot(*mask_profile(truncation, tau), **look)
    axes.set_ylim(0, 1.05)
    legend_below(axes)


def looks_of_taus(truncation: Truncation) -> list[tuple[float, dict[str, Any]]]:
    """The cutoffs, each with its line."""
    return [
        (tau, {"color": colour, "linestyle": dashes, "linewidth": 2, "label": f"τ = {tau:.3g}"})
        for (_, tau), (colour, dashes) in zip(truncation.moments, TAU_STYLES, strict=False)
    ]


def panel_of_energy(axes: Axes, name: str, original: Image, decoded: Image, truncation: Truncation | None) -> None:
    """Radial spectra of a photograph: whole, truncated and, without phase 1, decoded."""
    name_axes(axes, title=f"Energy, {shortened(name, 24)}", x="radius r", y="energy per band")
    mark_radii(axes)
    shown: list[tuple[Image, dict[str, Any]]]
    shown = [(original, {"color": style.BLACK, "linestyle": "solid", "linewidth": 3, "label": "original"})]
    if truncation is None:
        dashed = {"color": style.VERMILION, "linestyle": SAMPLE_DASHES[1], "linewidth": 2, "label": "decoded"}
        shown.append((decoded, dashed))
    else:
        shown += [(truncation.apply(original, tau), look) for tau, look in looks_of_taus(truncation)]
    for image, look in shown:
        centres, energy = (tensor.numpy() for tensor in radial_spectrum(image))
        axes.plot(centres, np.where(energy > 0, energy, np.nan), **look)
    axes.set_yscale("log")
    whole = radial_spectrum(original)[1].numpy()
    if len(positive := whole[whole > 0]):
        # Lower lies nothing but rounding.
        axes.set_ylim(positive.min() / 30, positive.max() * 3)
    legend_below(axes)


def kept_share(original: Image, decoded: Image) -> Float[np.ndarray, " B"]:
    """Energy of the reconstruction in every band as a share of the original's; NaN where that has none."""
    (_, before), (_, after) = radial_spectrum(original), radial_spectrum(decoded)
    return torch.where(before > 0, after / before, torch.nan).numpy()


def panel_of_kept(axes: Axes, names: list[str], pairs: list[tuple[Image, Image]]) -> None:
    """How much of every band's energy the decoded photographs have."""
    name_axes(axes, title="Energy, decoded ÷ original", x="radius r", y="% of the original's energy in the band")
    mark_radii(axes)
    axes.axhline(100, color=style.GREY, linewidth=1.2)
    highest = 100.0
    for name, (original, decoded), colour, dashes in zip(names, pairs, PALETTE, SAMPLE_DASHES, strict=False):
        centres, share = radial_spectrum(original)[0].numpy(), 100 * kept_share(original, decoded)
        axes.plot(centres, share, color=colour, linestyle=dashes, linewidth=2, label=legend_label(shortened(name, 24)))
        highest = max([highest, *share[np.isfinite(share)]])
    # Rounding to 8 bits alone can multiply the energy of a nearly empty band.
    axes.set_ylim(0, min(highest * 1.08, 200))
    legend_below(axes)


def mark_radii(axes: Axes) -> None:
    """Ticks from 0 to the corner and a line at r = 1."""
    axes.set_xlim(0, math.sqrt(2))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1, math.sqrt(2)], ["0", "0.25", "0.5", "0.75", "1", "√2"])
    axes.axvline(1, color=style.GREY, linestyle=":", linewidth=1.5)


def legend_below(axes: Axes) -> None:
    """A legend under the panel, where it covers no data."""
    columns = 2 if len(axes.get_legend_handles_labels()[0]) == 4 else 3
    where: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13)}
    axes.legend(**where, ncol=columns, frameon=False, fontsize=9, handlelength=3.2)
