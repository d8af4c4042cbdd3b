"""What compressing and decompressing share: settings, the files to make, the loop over them."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from hpcm_spectral.cli.outputs import output_folder
from hpcm_spectral.codec import Codec
from hpcm_spectral.config import Names
from hpcm_spectral.errors import CodingError, ConfigError, UserError
from hpcm_spectral.evaluation.files import SUFFIX
from hpcm_spectral.files import user_path
from hpcm_spectral.models import load_codec
from hpcm_spectral.ops.devices import check_device

log = logging.getLogger("hpcm_spectral")


class CodingSettings(BaseModel):
    """The settings that ``conf/compress.yaml`` and ``conf/decompress.yaml`` share."""

    model_config = ConfigDict(strict=True, extra="forbid")

    codec: str
    input: str
    output: str
    device: Literal["cpu", "cuda"]
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
    inputs = list(find(source)) if source.is_dir() else [source]
    names = target_names([path.relative_to(source) if source.is_dir() else Path(path.name) for path in inputs], suffix)
    output = output_folder(settings.output, "the files to make", names, overwrite=settings.overwrite)
    codec = load_codec(settings.codec, settings.allow).to(check_device(settings.device))
    code = prepare(codec)
    output.mkdir(parents=True, exist_ok=True)
    done, bits, pixels, seconds, whole = 0, 0, 0, 0.0, True
    bar = tqdm(inputs, unit="image", disable=len(inputs) == 1 or None)
    for path, name in zip(bar, names, strict=True):
        started = time.perf_counter()
        target = output / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            size, whole = code(path, target)
        except (UserError, OSError) as error:
            if len(inputs) == 1:
                with contextlib.suppress(OSError):  # it holds something else
                    output.rmdir()
                raise
            with tqdm.external_write_mode():
                log.error("skipped: %s", error)
            continue
        took = time.perf_counter() - started
        coded = 8 * (target if suffix == SUFFIX else path).stat().st_size
        done, bits, pixels, seconds = done + 1, bits + coded, pixels + size, seconds + took
        with tqdm.external_write_mode():
            print(f"{target}: {f'{coded / size:.4f} bpp, ' if whole else ''}{took:.2f} s")
    if done > 1:
        rate = f"{bits / pixels:.4f} bpp of all pixels, " if whole else ""
        print(f"{done} images: {rate}{seconds / done:.2f} s each")
    if failed := len(inputs) - done:
        raise CodingError(f"All files must be readable, but {failed} of {len(inputs)} were skipped; see above.")


def target_names(names: Sequence[Path], suffix: str) -> list[Path]:
    """Names like those given, with another suffix; where two would be the same they keep their own besides.

    Example:
        >>> [name.as_posix() for name in target_names([Path("a.png"), Path("a.bmp"), Path("in/b.png")], ".hpcm")]
        ['a.png.hpcm', 'a.bmp.hpcm', 'in/b.hpcm']
    """
    targets = [name.with_suffix(suffix) for name in names]
    return [
        name.with_name(name.name + suffix) if targets.count(target) > 1 else target
        for name, target in zip(names, targets, strict=True)
    ]
