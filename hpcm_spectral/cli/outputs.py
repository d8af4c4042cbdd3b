"""Where programs write: a folder that holds nothing of what they are about to make."""

import contextlib
import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.files import user_path

# Errors of the system that the next file would meet, too.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def output_folder(
    setting: str, without: str = "", files: Iterable[str | Path] = (), *, overwrite: bool | None = None
) -> Path:
    """The folder that a program's ``output`` names, checked before the work begins.

    Args:
        setting: The setting.
        without: What it must not hold, such as ``a codec``.
        files: The names by which that is known.
        overwrite: The setting of this name; None for a program that has none.

    Raises:
        ConfigError: It names nothing or a file, or holds one of ``files`` that is not to be replaced.
    """
    if not setting.strip():
        raise ConfigError("output must name a folder, got nothing; . is the current one.")
    folder = user_path(setting)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output must name a folder, but {folder} is a file; choose another.")
    found = [] if overwrite else [str(name) for name in files if (folder / name).exists()]
    if found:
        remedy = "choose another" if overwrite is None else "choose another or set overwrite=true"
        raise ConfigError(
            f"output must be a folder without {without}, but {folder} has {' and '.join(found[:2])}; {remedy}."
        )
    return folder


@contextlib.contextmanager
def folder_to_fill(folder: Path) -> Iterator[None]:
    """A folder, made if there is none; what was made goes again if the block fails and it is empty."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):  # it holds something
                path.rmdir()
        raise
