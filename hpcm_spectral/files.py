"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpcm_spectral.names import cut

# What a temporary file shows of its target's name, whose length may be all that the disk takes.
SHOWN_BYTES = 40


@contextmanager
def whole_file(path: Path, sync: bool = True) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error.

    Args:
        path: The file to make or replace; its folder must exist.
        sync: Whether to wait for the disk; without it, a loss of power may leave a file cut short.

    Yields:
        Where to write. A kill or a full disk leaves ``path`` as it was.

    Raises:
        OSError: It cannot be written; the error names ``path``.
    """
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{cut(path.stem, SHOWN_BYTES)}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if sync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        # The system names the temporary file, or none.
        if isinstance(error, OSError) and error.errno and _lies_beside(error.filename, path):
            error.filename = str(path)
        raise


def _lies_beside(name: object, path: Path) -> bool:
    return name is None or Path(str(name)).parent.absolute() == path.parent.absolute()


def write_text(path: Path, text: str, errors: str = "backslashreplace") -> None:
    """Write a UTF-8 text file whole or not at all; ``errors`` says what becomes of what UTF-8 cannot hold."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors)


def user_path(text: str) -> Path:
    """A path as the user wrote it, with ~ for the home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a name that starts with ~ but is nobody's
        return Path(text)
