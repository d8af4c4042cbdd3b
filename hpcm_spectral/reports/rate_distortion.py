"""A codec's points over published rate-distortion curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hpcm_spectral.reports import style
from hpcm_spectral.reports.reference_curves import MS_SSIM, Comparison, Curve, References
from hpcm_spectral.reports.style import add_note, name_axes, new_figure, save_figure, shortened

FIGURE = "rate_distortion.png"
WHITE_EDGE = {"markeredgecolor": "white", "markeredgewidth": 1.0}
OWN: dict[str, Any] = {
    "color": style.VERMILION,
    "linewidth": 2.4,
    "marker": "*",
    "markersize": 17,
    "zorder": 5,
    **WHITE_EDGE,
}
LEARNED = {"HPCM-Base": style.BLUE, "HPCM-Large": style.BLACK, "ELIC": style.GREEN}
CONVENTIONAL = {"VTM": style.PURPLE, "HM": style.ORANGE, "BPG": style.GREY}
PANELS = (("PSNR", "PSNR (RGB)", "PSNR, dB"), ("MS-SSIM", "MS-SSIM (RGB)", "MS-SSIM, dB: $-10\\,\\log_{10}(1-x)$"))
LABEL_LENGTH, LINE_LENGTH = 24, 190


def write_rate_distortion(
    folder: Path, own: Curve, references: References, comparisons: Sequence[Comparison], *, images: str, notes: str = ""
) -> Path:
    """Draw ``rate_distortion.png``, whole or not at all.

    Args:
        folder: Where.
        own: The codec's points.
        references: What to draw behind them.
        comparisons: BD-rates to name below.
        images: What the codec's points were measured on.
        notes: Anything else to say below.
    """
    path = folder / FIGURE
    save_figure(draw_rate_distortion(own, references, comparisons, images=images, notes=notes), path)
    return path


def draw_rate_distortion(
    own: Curve, references: References, comparisons: Sequence[Comparison], *, images: str, notes: str = ""
) -> Figure:
    """PSNR and MS-SSIM against bits per pixel; arguments as `write_rate_distortion`."""
    figure = new_figure(7.6)
    handles: dict[str, Line2D] = {}
    for axes, (measure, title, y) in zip(figure.subplots(1, 2), PANELS, strict=True):
        name_axes(axes, title=title, x="rate, bits per pixel", y=y)
        _panel(axes, measure, own, references, handles)
    title = f"Rate and distortion on {shortened(images, 50)}"
    if references.title != images:
        title += f", curves for {references.title}"
    # Left of the legend.
    figure.suptitle(title, fontsize=14, parse_math=False, x=0.01, ha="left")
    entries = sorted(handles.values(), key=lambda handle: handle.get_marker() != OWN["marker"])
    figure.legend(handles=entries, loc="outside right upper", frameon=False, fontsize=10)
    lines = [_footnote(own, references), *_bd_rates(comparisons), notes]
    add_note(figure, "\n".join(line for line in lines if line), LINE_LENGTH)
    return figure


def _panel(axes: Axes, measure: str, own: Curve, references: References, handles: dict[str, Line2D]) -> None:
    """One measure's curves, cut off where the codec and the learned codecs end."""
    drawn = []
    for reference in references.curves:
        if (key := reference.key(measure)) is None:
            continue
        look = _look(reference.label)
        axes.plot(reference.bpp, reference.quality(key), **look)
        handles.setdefault(reference.label, Line2D([], [], **look, label=reference.label))
        drawn.append((reference.bpp, reference.quality(key)))
    # The conventional codecs go on to several bits per pixel, where no learned one has points.
    reach = 1.25 * min(float(bpp[-1]) for bpp, _ in drawn)
    if (key := own.key(measure)) is None:
        text = f"not every image has an {measure}" if measure == "MS-SSIM" else f"no finite {measure}"
        axes.text(0.97, 0.05, text, transform=axes.transAxes, ha="right", fontsize=13, color=style.VERMILION)
    else:
        label = shortened(own.label, LABEL_LENGTH).replace("$", r"\$")
        order = np.argsort(own.bpp)
        axes.plot(own.bpp[order], own.quality(key)[order], **OWN)
        handles.setdefault(label, Line2D([], [], **OWN, label=label))
        drawn.append((own.bpp[order], own.quality(key)[order]))
        reach = max(reach, 1.1 * float(own.bpp.max()))
    seen = np.concatenate([_visible(bpp, quality, reach) for bpp, quality in drawn])
    margin = 0.04 * (seen.max() - seen.min()) or 1.0
    axes.set_xlim(0, reach)
    axes.set_ylim(seen.min() - margin, seen.max() + margin)


def _visible(bpp: np.ndarray, quality: np.ndarray, reach: float) -> np.ndarray:
    """The qualities of a curve up to a rate."""
    inside = quality[bpp <= reach]
    return np.append(inside, np.interp(reach, bpp, quality)) if bpp[0] <= reach else inside


def _look(label: str) -> dict[str, Any]:
    form = {"linestyle": (0, (5, 2)), "marker": "s"} if label in CONVENTIONAL else {"linestyle": "solid", "marker": "o"}
    colour = (LEARNED | CONVENTIONAL).get(label, style.GREY)
    return {"color": colour, "linewidth": 1.5, "markersize": 4.5, **form}


def _footnote(own: Curve, references: References) -> str:
    """Where the curves come from and how their MS-SSIM is averaged."""
    hpcm = any(curve.label.startswith("HPCM") for curve in references.curves)
    text = "HPCM as published, left trained for MSE, right for MS-SSIM." if hpcm else ""
    if any("CompressAI" in curve.source for curve in references.curves):
        text += " Others as in CompressAI."
    means = [c.label for c in references.curves if c.key("MS-SSIM") == MS_SSIM]
    if means and own.key("MS-SSIM") is not None:
        names = f"{', '.join(means[:-1])} and {means[-1]}" if means[1:] else means[0]
        text += f" MS-SSIM: mean of the images' dB; of {names} dB of the mean, never higher."
    return text.strip()


def _bd_rates(comparisons: Sequence[Comparison]) -> list[str]:
    """A line per measure."""
    lines = []
    for measure, *_ in PANELS:
        found = [(c.reference, c.result) for c in comparisons if c.measure == measure and c.result is not None]
        if found:
            parts = [
                f"{name} {r.percent:+.1f} % ({r.low:.1f} to {r.high:.1f} dB{', little overlap' * r.covers_little})"
                for name, r in found
            ]
            # Lines break between references only.
            parts = [part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts]
            lines.append(f"BD-rate in {measure} against {', '.join(parts)}.")
    return lines
