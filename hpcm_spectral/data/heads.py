"""The heads of many image files at once: read in parallel where reading waits, and kept for the next start."""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import PIL

from hpcm_spectral.data.decode import Head, read_head
from hpcm_spectral.errors import DataError
from hpcm_spectral.files import whole_file

# What pixels and heads are made by; the number rises when `read_image` or `read_head` gives others.
DECODER = f"1, Pillow {PIL.__version__}"
_FOLDER = "heads"
_CHUNK, _THREADS, _MOST_SETS = 256, 16, 64
Made = TypeVar("Made")


def real_path(path: Path) -> str:
    """A path without links to folders, which is the same from anywhere."""
    # Strings, as Path takes ten times as long.
    folder, slash, name = str(path).rpartition(os.sep)
    return f"{_real_folder(folder + slash, os.getcwd())}{os.sep}{name}"  # noqa: PTH109


@lru_cache(maxsize=4096)
def _real_folder(folder: str, here: str) -> str:
    return os.path.realpath(folder or here)


def stamp(path: Path) -> list[int] | None:
    """What changes with a file's content: size, time of the content and time of its entry; None: it is gone."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    # The last one changes too when a file of the same size and time takes the other's place.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def read_heads(paths: Sequence[Path], max_megapixels: int, cache: Path | None = None) -> list[Head | DataError]:
    """Read the heads of image files, as `read_head` does.

    Args:
        paths: The files.
        max_megapixels: Larger images, in millions of pixels, are unreadable.
        cache: A folder that keeps the heads, to read those of unchanged files no more; what fails there is passed over.

    Returns:
        For each file its head, or why there is none.
    """
    if cache is None:
        return _map(partial(_read, max_megapixels=max_megapixels), paths)
    names = {path: real_path(path) for path in paths}
    kept = _kept_in(cache, names.values())
    known, new = _load(kept), {}

    def look(path: Path) -> Head | DataError:
        mark, entry = stamp(path), known.get(names[path])
        if entry is not None and entry[:3] == mark and entry[3] * entry[4] <= max_megapixels * 1_000_000:
            return Head(*entry[3:])
        head = _read(path, max_megapixels)
        if mark is not None and isinstance(head, Head):
            new[names[path]] = [*mark, *head]
        return head

    found = _map(look, paths)
    if new:
        now = {name: known[name] for name in names.values() if name in known}
        _save(kept, now | new)
    return found


def _read(path: Path, max_megapixels: int) -> Head | DataError:
    try:
        return read_head(path, max_megapixels)
    except DataError as error:
        return error


def _map(look: Callable[[Path], Made], paths: Sequence[Path]) -> list[Made]:
    """One after the other as long as the processor is what takes the time, many at once where the disk is."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    done: list[Made] = []
    for number, chunk in enumerate(chunks):
        began, busy = time.perf_counter(), time.thread_time()
        done += map(look, chunk)
        waits = time.thread_time() - busy < (time.perf_counter() - began) / 2
        if waits and len(chunks) > number + 1:
            # Threads that change the filters of warnings would leave each other's.
            with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
                for part in pool.map(lambda chunk: list(map(look, chunk)), chunks[number + 1 :]):
                    done += part
            break
    return done


def _kept_in(cache: Path, names: Iterable[str]) -> Path:
    folders = sorted({name.rpartition(os.sep)[0] for name in names})
    digest = hashlib.blake2b("\0".join(folders).encode(errors="surrogateescape"), digest_size=16)
    return cache / _FOLDER / f"{digest.hexdigest()}.json"


def _load(kept: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(kept.read_bytes())
        return content["heads"] if content["decoder"] == DECODER else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _save(kept: Path, heads: dict[str, list[Any]]) -> None:
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept, sync=False) as temporary:
            temporary.write_text(json.dumps({"decoder": DECODER, "heads": heads}))
        sets = sorted(kept.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in sets[:-_MOST_SETS]:
            old.unlink()
    except OSError:
        return  # read again next time
