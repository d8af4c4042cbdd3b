"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error.

    Args:
        path: The file to make or replace; its folder must exist.

    Yields:
        Where to write. A kill or a full disk leaves ``path`` as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all; what UTF-8 cannot say is escaped."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def printable(path: str) -> str:
    r"""A file's name as text, with the bytes escaped that are none, as in names of other encodings.

    Example:
        >>> print(printable(os.fsdecode(b"caf\xe9.png")))
        caf\xe9.png
    """
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def user_path(text: str) -> Path:
    """A path as the user wrote it, with ~ for the home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a name that starts with ~ but is nobody's
        return Path(text)
