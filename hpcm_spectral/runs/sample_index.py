"""The decoded validation photographs of a run: the list of them, ``samples/samples.json``."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcm_spectral.runs.plain_files import read_json, reading, write_json

FOLDER, INDEX = "samples", "samples.json"


@dataclass(frozen=True)
class Sample:
    """A validation photograph and what the codec made of it.

    Attributes:
        name: Its name.
        bpp: Estimated bits per pixel.
        psnr: In dB.
        original: Its image file.
        decoded: The reconstruction's image file.
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
    if not path.exists():
        return ()
    with reading(path, "list a run's samples"):
        return tuple(
            Sample(
                name=str(entry["name"]),
                bpp=_number(entry["bpp"]),
                psnr=_number(entry["psnr"]),
                original=path.parent / entry["original"],
                decoded=path.parent / entry["decoded"],
                ms_ssim_db=entry.get("ms_ssim_db"),
            )
            for entry in read_json(path)
        )


def _number(value: object) -> float:
    """A figure; null stands for one that is not finite."""
    return float("nan") if value is None else float(value)  # type: ignore[arg-type]
