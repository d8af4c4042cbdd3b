"""Published rate-distortion curves, and how a codec compares with them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hpcm_spectral.metrics.bd_rate import BDRate, bd_rate

FOLDER = Path(__file__).parent / "references"
PSNR_RGB, MS_SSIM, MS_SSIM_DB = "psnr-rgb", "ms-ssim-rgb", "ms-ssim-rgb-db"
# HPCM's authors publish the mean of the images' dB; CompressAI, whose plots convert it, the mean MS-SSIM.
MEASURES = {"PSNR": (PSNR_RGB,), "MS-SSIM": (MS_SSIM_DB, MS_SSIM)}


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


def sentences(comparisons: Sequence[Comparison]) -> list[str]:
    """Every BD-rate with the range that it holds for, then what there is none against, and why."""
    found, without = [], dict[tuple[str, str], list[str]]()
    for comparison in comparisons:
        if (result := comparison.result) is None:
            without.setdefault((comparison.measure, comparison.reason), []).append(comparison.reference)
            continue
        little = "; warning: the curves overlap little" if result.covers_little else ""
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
