"""The decoded validation photographs of a run: the list of them, ``samples/samples.json``."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcm_spectral.runs.plain_files import read_json, reading, write_json

FOLDER, INDEX = "samples", "samples.json"


@dataclass(frozen=True)
class Sample:
    """A validation photograph and what the codec made of it, their image files.

    Attributes:
        bpp: Estimated bits per pixel.
        psnr: In dB.
        ms_ssim_db: In dB; None where the photograph is too small for it.
    """

    name: str
    bpp: float
    psnr: float
    original: Path
    decoded: Path
    ms_ssim_db: float | None = None


def write_sample_index(folder: Path, samples: Sequence[Sample]) -> None:
    """List the samples whose files lie in ``samples`` of a run folder."""
    entries = [{**asdict(s), "original": s.original.name, "decoded": s.decoded.name} for s in samples]
    write_json(folder / FOLDER / INDEX, entries)


def read_samples(folder: Path) -> tuple[Sample, ...]:
    """The samples of a run folder, perhaps none.

    Raises:
        UserError: The list is damaged.
    """
    path = folder / FOLDER / INDEX
    samples: list[Sample] = []
    with reading(path, "list a run's samples"):
        for entry in read_json(path) if path.exists() else ():
            # null stands for a figure that is not finite.
            bpp, psnr = (float("nan") if entry[key] is None else float(entry[key]) for key in ("bpp", "psnr"))
            original, decoded = (path.parent / Path(entry[key]).name for key in ("original", "decoded"))
            samples.append(Sample(str(entry["name"]), bpp, psnr, original, decoded, entry.get("ms_ssim_db")))
    return tuple(samples)
