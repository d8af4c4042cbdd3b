"""Published rate-distortion curves, how a codec compares with them, and the picture of its points over them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hpcm_spectral.metrics.bd_rate import BDRate, bd_rate
from hpcm_spectral.reports import style
from hpcm_spectral.reports.style import add_note, legend_label, name_axes, new_figure, shortened

FOLDER = Path(__file__).parent / "references"
PSNR_RGB, MS_SSIM, MS_SSIM_DB = "psnr-rgb", "ms-ssim-rgb", "ms-ssim-rgb-db"
# HPCM's authors publish the mean of the images' dB; CompressAI, whose plots convert it, the mean MS-SSIM.
MEASURES = {"PSNR": (PSNR_RGB,), "MS-SSIM": (MS_SSIM_DB, MS_SSIM)}
FIGURE = "rate_distortion.png"
OWN: dict[str, Any] = {"color": style.VERMILION, "linewidth": 2.4, "marker": "*", "markersize": 17, "zorder": 5}
OWN |= {"markeredgecolor": "white", "markeredgewidth": 1.0}
LEARNED = {"HPCM-Base": style.BLUE, "HPCM-Large": style.BLACK, "ELIC": style.GREEN}
CONVENTIONAL = {"VTM": style.PURPLE, "HM": style.ORANGE, "BPG": style.GREY}
PANELS = (("PSNR", "PSNR (RGB)", "PSNR, dB"), ("MS-SSIM", "MS-SSIM (RGB)", "MS-SSIM, dB: $-10\\,\\log_{10}(1-x)$"))
LABEL_LENGTH, LINE_LENGTH = 24, 190
LITTLE = "the curves overlap little"


@dataclass(frozen=True)
class Curve:
    """A codec's points.

    Attributes:
        label: What to call it in a legend.
        results: Lists of equal length by CompressAI's names: ``bpp``, ``psnr-rgb``, ``ms-ssim-rgb``, and
            ``ms-ssim-rgb-db``.
        description: What it is.
        source: Where its numbers come from.
    """

    label: str
    results: Mapping[str, Sequence[float]]
    description: str = ""
    source: str = ""

    @property
    def bpp(self) -> Float[np.ndarray, " N"]:
        """Bits per pixel."""
        return np.asarray(self.results["bpp"], dtype=np.float64)

    def key(self, measure: str) -> str | None:
        """Under which name it has PSNR or MS-SSIM; None if it has none."""
        return next((key for key in MEASURES[measure] if key in self.results), None)

    def quality(self, key: str) -> Float[np.ndarray, " N"]:
        """PSNR or MS-SSIM in dB; of ``ms-ssim-rgb``, dB of the mean over the images."""
        values = np.asarray(self.results[key], dtype=np.float64)
        with np.errstate(divide="ignore"):
            return -10 * np.log10(1 - values) if key == MS_SSIM else values


@dataclass(frozen=True)
class References:
    """The published curves of a set of images, in the order of a legend; ``title`` names the set for people."""

    name: str
    title: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Comparison:
    """A codec against a reference in one measure, ``PSNR`` or ``MS-SSIM``: the BD-rate, or why there is none."""

    measure: str
    reference: str
    result: BDRate | None
    reason: str = ""

    @property
    def note(self) -> str:
        """What must be said beside the BD-rate, or in place of one; perhaps nothing."""
        return LITTLE if self.result is not None and self.result.covers_little else self.reason


def sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """Every BD-rate with the range that it holds for, then what there is none against, and why."""
    found, without = [], dict[tuple[str, str], list[str]]()
    for comparison in comparisons:
        if (result := comparison.result) is None:
            without.setdefault((comparison.measure, comparison.reason), []).append(comparison.reference)
            continue
        little = f"; warning: {comparison.note}" if comparison.note else ""
        found.append(
            f"{comparison.measure} against {comparison.reference}: {result.percent:+.2f} % over {result.low:.2f} to "
            f"{result.high:.2f} dB ({result.share:.0%} of this curve, {result.reference_share:.0%} of the "
            f"reference){little}."
        )
    found += [f"{measure} against {', '.join(names)}: {reason}." for (measure, reason), names in without.items()]
    return found


def read_references(name: str) -> References:
    """The curves that the package ships for a set of images: ``kodak``, ``clic_pro_valid`` or ``tecnick``."""
    content = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    curves = (Curve(c["label"], c["results"], c["description"], c["source"]) for c in content["curves"])
    return References(content["set"], content["title"], tuple(curves))


def reference_names() -> list[str]:
    """The sets of images that curves are shipped for."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def compare(own: Curve, references: References) -> list[Comparison]:
    """BD-rates against every reference, in PSNR and in MS-SSIM as far as both curves have it."""
    comparisons = []
    for measure in MEASURES:
        for reference in references.curves:
            key = reference.key(measure)
            if key is None or key not in own.results:
                continue
            try:
                result = bd_rate(own.bpp, own.quality(key), reference.bpp, reference.quality(key))
                comparisons.append(Comparison(measure, reference.label, result))
            except ValueError as error:
                comparisons.append(Comparison(measure, reference.label, None, str(error)))
    return comparisons


def draw_rate_distortion(
    own: Curve, references: References, comparisons: Sequence[Comparison], *, images: str, notes: str = ""
) -> Figure:
    """PSNR and MS-SSIM against bits per pixel.

    Args:
        own: The codec's points.
        references: What to draw behind them.
        comparisons: BD-rates to name below.
        images: What the codec's points were measured on.
        notes: Anything else to say below.
    """
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
    drawn: list[tuple[np.ndarray, np.ndarray]] = []

    def draw(curve: Curve, key: str, label: str, look: dict[str, Any]) -> None:
        order = np.argsort(curve.bpp, kind="stable")
        drawn.append((curve.bpp[order], curve.quality(key)[order]))
        axes.plot(*drawn[-1], **look)
        handles.setdefault(label, Line2D([], [], **look, label=label))

    for reference in references.curves:
        if key := reference.key(measure):
            draw(reference, key, reference.label, _look(reference.label))
    # The conventional codecs go on to several bits per pixel, where no learned one has points.
    reach = 1.25 * min(float(bpp[-1]) for bpp, _ in drawn)
    if key := own.key(measure):
        draw(own, key, legend_label(shortened(own.label, LABEL_LENGTH)), OWN)
        reach = max(reach, 1.1 * float(own.bpp.max()))
    else:
        text = f"not every image has an {measure}" if measure == "MS-SSIM" else f"no finite {measure}"
        axes.text(0.97, 0.05, text, transform=axes.transAxes, ha="right", fontsize=13, color=style.VERMILION)
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
        parts = [
            f"{c.reference} {r.percent:+.1f} % ({r.low:.1f} to {r.high:.1f} dB{', little overlap' * r.covers_little})"
            for c in comparisons
            if c.measure == measure and (r := c.result) is not None
        ]
        if parts:
            # Lines break between references only.
            text = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)
            lines.append(f"BD-rate in {measure} against {text}.")
    return lines
