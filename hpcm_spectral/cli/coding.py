"""Compress images to files, and decompress them."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from hpcm_spectral.codec import Codec
from hpcm_spectral.config import check_settings, plain
from hpcm_spectral.data.decode import as_tensor, read_image
from hpcm_spectral.data.folder import list_images
from hpcm_spectral.errors import CodingError, ConfigError, UserError
from hpcm_spectral.evaluation.files import SUFFIX, read_hpcm, write_hpcm, write_png
from hpcm_spectral.models import load_codec

log = logging.getLogger("hpcm_spectral")


class CodingSettings(BaseModel):
    """The settings of ``conf/compress.yaml`` and ``conf/decompress.yaml``."""

    model_config = ConfigDict(strict=True, extra="forbid")

    codec: str
    input: str
    output: str
    device: Literal["cpu", "cuda"]
    overwrite: bool


@dataclass(frozen=True)
class Job:
    """One file to make from another."""

    source: Path
    target: Path


def compress(cfg: DictConfig) -> None:
    """Code images into ``.hpcm`` files.

    Raises:
        UserError: Something that the user can mend; other images are coded all the same.
    """
    settings = check_settings(CodingSettings, plain(cfg))
    source = _existing(settings.input)
    jobs = _jobs(source, list_images(source) if source.is_dir() else [source], settings, SUFFIX)

    def one(codec: Codec, job: Job) -> tuple[float, int]:
        pixels = as_tensor(read_image(job.source))[None].to(settings.device)
        image = write_hpcm(codec, pixels, job.target)
        size = image.height * image.width
        return 8 * job.target.stat().st_size / size, size

    _run(settings, jobs, one)


def decompress(cfg: DictConfig) -> None:
    """Decode ``.hpcm`` files into PNG images.

    Raises:
        UserError: Something that the user can mend; other files are decoded all the same.
    """
    settings = check_settings(CodingSettings, plain(cfg))
    source = _existing(settings.input)
    found = sorted(source.rglob(f"*{SUFFIX}")) if source.is_dir() else [source]
    if not found:
        raise ConfigError(f"input must hold {SUFFIX} files, but {source} has none; check the path.")
    jobs = _jobs(source, found, settings, ".png")

    def one(codec: Codec, job: Job) -> tuple[float, int]:
        x_hat = read_hpcm(codec, job.source)
        write_png(x_hat, job.target)
        pixels = x_hat.shape[-2] * x_hat.shape[-1]
        return 8 * job.source.stat().st_size / pixels, pixels

    _run(settings, jobs, one)


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    if not name or not path.exists():
        raise ConfigError(f"input must name a file or a folder that exists, got {name or 'nothing'}; check the path.")
    return path


def _jobs(source: Path, found: Sequence[Path], settings: CodingSettings, suffix: str) -> list[Job]:
    """Targets with the names of their sources, in the same subfolders."""
    if not settings.output:
        raise ConfigError("output must name a folder, got nothing; . is the current one.")
    output = Path(settings.output).expanduser()
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output must name a folder, but {output} is a file; choose another.")
    inside = [path.relative_to(source) if source.is_dir() else Path(path.name) for path in found]
    targets = [path.with_suffix(suffix) for path in inside]
    repeated = {target for target in targets if targets.count(target) > 1}
    # Images that differ in their extension only keep it.
    targets = [
        path.with_name(path.name + suffix) if target in repeated else target
        for path, target in zip(inside, targets, strict=True)
    ]
    jobs = [Job(path, output / target) for path, target in zip(found, targets, strict=True)]
    for job in jobs:
        if job.target.exists() and not settings.overwrite:
            raise ConfigError(
                f"output must not hold the files to write, but {job.target} exists; choose another or set "
                "overwrite=true."
            )
    return jobs


def _run(settings: CodingSettings, jobs: Sequence[Job], one: Callable[[Codec, Job], tuple[float, int]]) -> None:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device must be cpu, or cuda where there is a GPU, got 'cuda'.")
    codec = load_codec(settings.codec).to(settings.device)
    output = Path(settings.output).expanduser()
    output.mkdir(parents=True, exist_ok=True)
    failed, bits, pixels, seconds = 0, 0.0, 0, 0.0
    for job in tqdm(jobs, unit="image", disable=None if len(jobs) > 1 else True):
        started = time.perf_counter()
        try:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            bpp, size = one(codec, job)
        except (UserError, OSError) as error:
            if len(jobs) == 1:
                with contextlib.suppress(OSError):  # it holds something else
                    output.rmdir()
                raise
            failed += 1
            with tqdm.external_write_mode():
                log.error("skipped: %s", error)
            continue
        took = time.perf_counter() - started
        bits, pixels, seconds = bits + bpp * size, pixels + size, seconds + took
        with tqdm.external_write_mode():
            print(f"{job.target}: {bpp:.4f} bpp, {took:.2f} s")
    done = len(jobs) - failed
    if done > 1:
        print(f"{done} images: {bits / pixels:.4f} bpp of all pixels, {seconds / done:.2f} s each")
    if failed:
        raise CodingError(f"All files must be readable, but {failed} of {len(jobs)} were skipped; see above.")
