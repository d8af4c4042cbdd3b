"""What an evaluation leaves: results.json in CompressAI's format, a CSV file with a row per image, a table."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcm_spectral.evaluation.score import ImageScore
from hpcm_spectral.files import write_text
from hpcm_spectral.tables import text_table

RESULTS, PER_IMAGE = "results.json", "per_image.csv"
DESCRIPTION = "bpp: whole .hpcm files; PSNR and MS-SSIM: decoded from them, rounded to 8 bits; means over the images"


def measures(score: ImageScore) -> dict[str, float | None]:
    """An image's figures by name, CompressAI's names first."""
    return {
        "bpp": score.bpp(8 * score.file_bytes),
        "psnr-rgb": score.psnr,
        "ms-ssim-rgb": score.ms_ssim,
        "encoding_time": score.encode_seconds,
        "decoding_time": score.decode_seconds,
        "ms-ssim-rgb-db": score.ms_ssim_db,
        **{f"bpp-{name}": score.bpp(8 * length) for name, length in score.string_bytes.items()},
        "bpp-estimated": score.bpp(sum(score.estimated_bits.values())),
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
        values = [measures(score).get(measure) for score in self.images]
        known = [value for value in values if value is not None and math.isfinite(value)]
        return sum(known) / len(known) if len(known) == len(values) else None


def curve(codecs: Iterable[CodecScore]) -> dict[str, list[float]]:
    """Measures by name, with a value per codec; those that a codec lacks are left out."""
    codecs = list(codecs)
    names = list(dict.fromkeys(name for codec in codecs for name in measures(codec.images[0])))
    means = {name: [codec.mean(name) for codec in codecs] for name in names}
    return {name: [v for v in values if v is not None] for name, values in means.items() if None not in values}


def write_results(folder: Path, name: str, results: Mapping[str, Sequence[float]], meta: Mapping[str, Any]) -> Path:
    """Write ``results.json``, which CompressAI's plotting tool reads: a `curve`, and plain values about it."""
    path = folder / RESULTS
    content = {"name": name, "description": DESCRIPTION, "meta": meta, "results": results}
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return path


class PerImage:
    """``per_image.csv``, a row per image and codec, written as they come; what an image lacks stays empty.

    Attributes:
        rows: So far.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PER_IMAGE
        self.rows: list[dict[str, Any]] = []
        self._columns: list[str] = []

    def add(self, label: str, score: ImageScore) -> None:
        """Write a row."""
        self.rows.append({"codec": label, **_row(score)})
        # Codecs may have other strings than the first.
        if not self.rows[-1].keys() <= set(self._columns):
            self._columns = list(dict.fromkeys(name for row in self.rows for name in row))
            write_text(self.path, self._text(self.rows, header=True))
        else:
            with self.path.open("a", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.write(self._text(self.rows[-1:]))

    def sort(self, labels: Sequence[str]) -> None:
        """Bring the rows into the order of their codecs."""
        self.rows.sort(key=lambda row: labels.index(row["codec"]))
        write_text(self.path, self._text(self.rows, header=True))

    def _text(self, rows: Iterable[Mapping[str, Any]], *, header: bool = False) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
        return text.getvalue()


def _row(score: ImageScore) -> dict[str, Any]:
    figures = measures(score)
    return {
        "image": score.image,
        "width": score.width,
        "height": score.height,
        "container_bytes": score.file_bytes,
        **{f"{name}_bytes": length for name, length in score.string_bytes.items()},
        "bpp": figures["bpp"],
        **{f"bpp_{name}": figures[f"bpp-{name}"] for name in score.string_bytes},
        **{f"bpp_estimated_{name}": score.bpp(bits) for name, bits in score.estimated_bits.items()},
        "psnr": score.psnr,
        "ms_ssim": score.ms_ssim,
        "ms_ssim_db": score.ms_ssim_db,
        "encode_seconds": score.encode_seconds,
        "decode_seconds": score.decode_seconds,
    }


def table(codecs: Sequence[CodecScore]) -> str:
    """The means as text, a line per codec."""
    strings = {f"bpp-{name}": f"of {name}" for codec in codecs for name in codec.images[0].string_bytes}
    rates = {"bpp": "bpp", **strings, "bpp-estimated": "estimated"}
    others = {
        "psnr-rgb": ("PSNR dB", 2),
        "ms-ssim-rgb": ("MS-SSIM", 4),
        "ms-ssim-rgb-db": ("dB", 2),
        "encoding_time": ("encode s", 3),
        "decoding_time": ("decode s", 3),
    }
    rows = []
    for codec in codecs:
        estimated = codec.mean("bpp-estimated")
        real = sum(codec.mean(name) or 0.0 for name in strings)
        cells = [_number(codec.mean(name), 4) for name in rates]
        cells.append(_number(real / estimated if estimated else None, 4))
        rows.append([codec.label, *cells, *(_number(codec.mean(name), digits) for name, (_, digits) in others.items())])
    return text_table(["", *rates.values(), "real/est.", *(heading for heading, _ in others.values())], rows)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
