"""Names of files: as people can read them anywhere, and new ones that do not get in each other's way."""

import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

# What the usual file systems take for a name.
MAX_BYTES = 255
# Of a name among others, in characters.
SHOWN = 80
# Control characters, what turns the direction of writing, and bytes of a name that are no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    r"""Text in one line that any UTF-8 file, terminal or picture can show; what it cannot is escaped as Python does.

    Example:
        >>> print(printable("two\nlines \udce9"))
        two\nlines \xe9
    """

    def escaped(match: re.Match[str]) -> str:
        # A byte that is no UTF-8 stands in a name as U+DC00 and itself.
        code = ord(match[0]) - 0xDC00
        return f"\\x{code:02x}" if 0x80 <= code <= 0xFF else match[0].encode("unicode_escape").decode()

    return _UNPRINTABLE.sub(escaped, str(text))


class PlainFormatter(logging.Formatter):
    """Log lines that any UTF-8 file and terminal can show."""

    def format(self, record: logging.LogRecord) -> str:
        """See the base class."""
        return "\n".join(map(printable, super().format(record).split("\n")))


def few(names: Sequence[object], count: int = 3) -> str:
    """The first names of a list, separated by commas, and no more of long ones than tells them apart as a rule.

    Example:
        >>> few(["a", "b", "c", "d"])
        'a, b, c, ...'
    """
    shown = [text if len(text := printable(name)) <= SHOWN else f"{text[: SHOWN - 1]}…" for name in names[:count]]
    return ", ".join([*shown, *(["..."] if len(names) > count else [])])


def cut(name: str, length: int) -> str:
    """The beginning of a name, of at most ``length`` bytes."""
    while len(os.fsencode(name)) > length:
        name = name[:-1]
    return name


def target_names(names: Sequence[PurePath], suffix: str, *, whole: bool = False) -> list[Path]:
    """Names of new files, no two of them one file on any disk: some take ``A`` for ``a``, or one ``é`` for another.

    A new name has ``suffix`` in place of the old one. Where that would make two alike, or one longer than a disk takes,
    it stands behind the old one, if need be after a number, and the name is cut.

    Args:
        names: Relative paths.
        suffix: With its dot.
        whole: Keep the old suffix everywhere.

    Example:
        >>> [name.as_posix() for name in target_names([Path("a.png"), Path("a.bmp"), Path("in/b.png")], ".hpcm")]
        ['a.png.hpcm', 'a.bmp.hpcm', 'in/b.hpcm']
        >>> [name.as_posix() for name in target_names([Path("A.png"), Path("a.png")], ".hpcm")]
        ['A.png.hpcm', 'a.png-2.hpcm']
    """
    folders = {_key(parent) for name in names for parent in name.parents}
    attempts = [int(whole)] * len(names)
    targets = [_target(name, suffix, attempt) for name, attempt in zip(names, attempts, strict=True)]
    while True:
        keys = [_key(target) for target in targets]
        counts, kept, moved = Counter(keys), set[str](), Counter[str]()
        for i, key in enumerate(keys):
            # After the first attempt, the first of those alike keeps its name.
            if (counts[key] > 1 and (not attempts[i] or key in kept)) or key in folders:
                moved[key] += 1
                attempts[i] += moved[key] if attempts[i] else 1
                targets[i] = _target(names[i], suffix, attempts[i])
            elif attempts[i]:
                kept.add(key)
        if not moved:
            return targets


def _target(name: PurePath, suffix: str, attempt: int) -> Path:
    stem = name.name if attempt else name.stem
    end = (f"-{attempt}" if attempt > 1 else "") + suffix
    return Path(name.with_name(cut(stem, MAX_BYTES - len(end)) + end))


def _key(name: PurePath) -> str:
    """The same for names that some disk takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", str(name)).casefold())
