"""What compressing and decompressing share: settings, the files to make, the loop over them."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from hpcm_spectral.cli.outputs import FULL, folder_to_fill, output_folder
from hpcm_spectral.codec import Codec
from hpcm_spectral.config import Names, Transforms
from hpcm_spectral.errors import CodingError, ConfigError, UserError, sentence
from hpcm_spectral.evaluation.files import SUFFIX, coding
from hpcm_spectral.files import user_path
from hpcm_spectral.models import load_codec
from hpcm_spectral.names import few, printable, target_names
from hpcm_spectral.ops.devices import check_device

log = logging.getLogger("hpcm_spectral")


class CodingSettings(BaseModel):
    """The settings that ``conf/compress.yaml`` and ``conf/decompress.yaml`` share."""

    model_config = ConfigDict(strict=True, extra="forbid")

    codec: str
    input: str
    output: str
    device: Literal["cpu", "cuda"]
    transforms: Transforms
    overwrite: bool
    allow: Names = []


def code_files(
    settings: CodingSettings,
    find: Callable[[Path], Sequence[Path]],
    suffix: str,
    prepare: Callable[[Codec], Callable[[Path, Path], tuple[int, bool]]],
) -> None:
    """Make a file from every input, and say what each took; one that cannot be used does not stop the others.

    Args:
        settings: The program's.
        find: The inputs in a folder.
        suffix: Of the files to make.
        prepare: Checks the settings for the codec, and returns what makes the second file from the first and returns
            the image's pixels, and whether the whole file counts for them.

    Raises:
        UserError: Something that the user can mend.
    """
    source = user_path(settings.input)
    if not settings.input or not source.exists():
        got = settings.input or "nothing"
        raise ConfigError(f"input must name a file or a folder that exists, got {got}; check the path.")
    if not source.is_dir() and not source.is_file():
        raise ConfigError(f"input must name a file or a folder, but {source} is a pipe, a socket or a device.")
    inputs = list(find(source)) if source.is_dir() else [source]
    relative = [path.relative_to(source) if source.is_dir() else Path(path.name) for path in inputs]
    names = target_names(relative, suffix)
    output = output_folder(settings.output, "the files to make", names, overwrite=settings.overwrite)
    _keep_inputs(inputs, [output / name for name in names])
    codec = load_codec(settings.codec, settings.allow).to(check_device(settings.device))
    codec.set_transforms(getattr(torch, settings.transforms))
    code = prepare(codec)
    done, bits, pixels, seconds, whole, failed = 0, 0, 0, 0.0, True, list[Path]()
    bar = tqdm(inputs, unit="image", disable=len(inputs) == 1 or None)
    with folder_to_fill(output):
        for path, name in zip(bar, names, strict=True):
            started = time.perf_counter()
            target = output / name
            try:
                with folder_to_fill(target.parent), coding(path):
                    if not settings.overwrite and target.exists():
                        raise CodingError(f"{target} must not exist yet, but another program has made it meanwhile.")
                    size, whole = code(path, target)
            except KeyboardInterrupt:
                log.info("%d of %d files are done, each whole, in %s", done, len(inputs), output)
                raise
            except (UserError, OSError) as error:
                if isinstance(error, OSError) and error.errno in FULL:
                    log.info("%d of %d files are done, each whole, in %s", done, len(inputs), output)
                    raise
                if len(inputs) == 1:
                    raise
                failed.append(path.relative_to(source))
                with tqdm.external_write_mode():
                    log.error("skipped: %s", sentence(error))
                continue
            took = time.perf_counter() - started
            coded = 8 * (target if suffix == SUFFIX else path).stat().st_size
            done, bits, pixels, seconds = done + 1, bits + coded, pixels + size, seconds + took
            with tqdm.external_write_mode():
                print(f"{printable(target)}: {f'{coded / size:.4f} bpp, ' if whole else ''}{took:.2f} s")
        if done > 1:
            rate = f"{bits / pixels:.4f} bpp of all pixels, " if whole else ""
            print(f"{done} images: {rate}{seconds / done:.2f} s each")
        if failed:
            raise CodingError(
                f"All files must be coded, but {len(failed)} of {len(inputs)} were skipped ({few(failed)}); see above."
            )


def _keep_inputs(inputs: Sequence[Path], targets: Sequence[Path]) -> None:
    """Refuse to replace what is read."""
    read = {(status.st_dev, status.st_ino) for path in inputs if path.exists() for status in [path.stat()]}
    for target in targets:
        if target.exists() and (target.stat().st_dev, target.stat().st_ino) in read:
            raise ConfigError(f"output must not replace an input, but {target} is one; choose another folder.")
