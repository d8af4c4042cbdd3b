"""What an evaluation leaves: results.json in CompressAI's format, a CSV file with a row per image, a table."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcm_spectral.evaluation.score import ImageScore
from hpcm_spectral.files import write_text
from hpcm_spectral.tables import text_table

RESULTS, PER_IMAGE = "results.json", "per_image.csv"
DESCRIPTION = "bpp: whole .hpcm files; PSNR and MS-SSIM: decoded from them, rounded to 8 bits; means over the images"

# CompressAI's names first; every value is a mean over the images.
MEASURES: Mapping[str, Callable[[ImageScore], float | None]] = {
    "bpp": lambda s: s.bpp(8 * s.file_bytes),
    "psnr-rgb": lambda s: s.psnr,
    "ms-ssim-rgb": lambda s: s.ms_ssim,
    "encoding_time": lambda s: s.encode_seconds,
    "decoding_time": lambda s: s.decode_seconds,
    "ms-ssim-rgb-db": lambda s: s.ms_ssim_db,
    "bpp-y": lambda s: s.bpp(8 * s.y_bytes),
    "bpp-z": lambda s: s.bpp(8 * s.z_bytes),
    "bpp-estimated": lambda s: s.bpp(s.estimated_y_bits + s.estimated_z_bits),
}
COLUMNS: Mapping[str, Callable[[ImageScore], Any]] = {
    "image": lambda s: s.image,
    "width": lambda s: s.width,
    "height": lambda s: s.height,
    "container_bytes": lambda s: s.file_bytes,
    "y_bytes": lambda s: s.y_bytes,
    "z_bytes": lambda s: s.z_bytes,
    "bpp": MEASURES["bpp"],
    "bpp_y": MEASURES["bpp-y"],
    "bpp_z": MEASURES["bpp-z"],
    "bpp_estimated_y": lambda s: s.bpp(s.estimated_y_bits),
    "bpp_estimated_z": lambda s: s.bpp(s.estimated_z_bits),
    "psnr": lambda s: s.psnr,
    "ms_ssim": lambda s: s.ms_ssim,
    "ms_ssim_db": lambda s: s.ms_ssim_db,
    "encode_seconds": lambda s: s.encode_seconds,
    "decode_seconds": lambda s: s.decode_seconds,
}


@dataclass(frozen=True)
class CodecScore:
    """One codec's point on the curve.

    Attributes:
        label: What to call the codec.
        images: Its score on every image.
    """

    label: str
    images: tuple[ImageScore, ...]

    def mean(self, measure: str) -> float | None:
        """Mean of a measure over the images; None if an image lacks it or it is not finite.

        A mean over fewer images than the rate's would be a point of no curve.
        """
        values = [MEASURES[measure](score) for score in self.images]
        known = [value for value in values if value is not None and math.isfinite(value)]
        return sum(known) / len(known) if len(known) == len(values) else None


def curve(codecs: Iterable[CodecScore]) -> dict[str, list[float]]:
    """Measures by name, with a value per codec; those that a codec lacks are left out."""
    codecs = list(codecs)
    columns = {name: [codec.mean(name) for codec in codecs] for name in MEASURES}
    return {name: [v for v in values if v is not None] for name, values in columns.items() if None not in values}


def write_results(folder: Path, name: str, results: Mapping[str, Sequence[float]], meta: Mapping[str, Any]) -> Path:
    """Write ``results.json``, which CompressAI's plotting tool reads.

    Args:
        folder: Where.
        name: Of the curve.
        results: From `curve`.
        meta: What else is known, of plain values.
    """
    path = folder / RESULTS
    content = {"name": name, "description": DESCRIPTION, "meta": meta, "results": results}
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return path


def write_per_image(folder: Path, codecs: Iterable[CodecScore]) -> Path:
    """Write ``per_image.csv``; what an image lacks stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["codec", *COLUMNS])
    for codec in codecs:
        writer.writerows([codec.label, *(_cell(value(score)) for value in COLUMNS.values())] for score in codec.images)
    path = folder / PER_IMAGE
    write_text(path, text.getvalue())
    return path


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def table(codecs: Sequence[CodecScore]) -> str:
    """The means as text, a line per codec."""
    headings = ("bpp", "of y", "of z", "estimated", "real/est.", "PSNR dB", "MS-SSIM", "dB", "encode s", "decode s")
    rows = []
    for codec in codecs:
        mean = codec.mean
        strings = (mean("bpp-y") or 0.0) + (mean("bpp-z") or 0.0)
        estimated = mean("bpp-estimated")
        rows.append(
            (
                codec.label,
                *(_number(mean(name), 4) for name in ("bpp", "bpp-y", "bpp-z", "bpp-estimated")),
                _number(strings / estimated if estimated else None, 4),
                _number(mean("psnr-rgb"), 2),
                _number(mean("ms-ssim-rgb"), 4),
                _number(mean("ms-ssim-rgb-db"), 2),
                _number(mean("encoding_time"), 3),
                _number(mean("decoding_time"), 3),
            )
        )
    return text_table(("", *headings), rows)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
