"""Short names of runs and of groups of runs."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

MAX_LENGTH = 44
_SEPARATORS = r",_\- "


def short_names(paths: Sequence[Path]) -> list[str]:
    """A short name for every path, no two alike: the folder's, with as many parents as tell it from the others.

    Overrides that all names of a sweep share are left out.

    >>> short_names([Path("/a/x/0"), Path("/a/y/0"), Path("/a/y/1")])
    ['x/0', 'y/0', '1']
    >>> short_names([Path("/s/model=t,tau=0.1"), Path("/s/model=t,tau=0.2")])
    ['tau=0.1', 'tau=0.2']
    """
    parts = [path.absolute().parts for path in paths]
    names = []
    for own in parts:
        depth = 1
        while depth < len(own) and sum(other[-depth:] == own[-depth:] for other in parts) > 1:
            depth += 1
        names.append(" ".join("/".join(own[-depth:]).split()))
    half = MAX_LENGTH // 2
    return all_different(n if len(n) <= MAX_LENGTH else f"{n[:half]}…{n[1 - half :]}" for n in _told_apart(names))


def _told_apart(names: list[str]) -> list[str]:
    """The names of a sweep's jobs without the overrides that all of them share, if that leaves something of each."""
    parts = [name.split(",") for name in names]
    shared = set.intersection(*map(set, parts)) if parts[1:] else set()
    shorter = [",".join(part for part in own if "=" not in part or part not in shared) for own in parts]
    return shorter if all(shorter) and len(set(shorter)) == len(set(names)) else names


def all_different(names: Iterable[str]) -> list[str]:
    """The names, repeated ones with a number."""
    taken: dict[str, None] = {}
    for name in names:
        number, own = 1, name
        while own in taken:
            number += 1
            own = f"{name} ({number})"
        taken[own] = None
    return list(taken)


def common_label(names: Sequence[str], keys: str, values: Sequence[object]) -> str:
    """What the names of several runs share once the setting in which they differ is left out.

    Args:
        names: The names.
        keys: A pattern of what the setting may be called there.
        values: Its value in each run.

    Returns:
        The first name with an ellipsis if they share nothing.

    >>> common_label(["full-s1", "full-s2"], "seed|s", [1, 2])
    'full'
    >>> common_label(["seed=1,tau=0.1", "seed=2,tau=0.1"], "seed|s", [1, 2])
    'tau=0.1'
    """
    stripped = set()
    for name, value in zip(names, values, strict=True):
        token = rf"(^|[{_SEPARATORS}/])(?:(?:{keys})[=_\-]?)?{re.escape(str(value))}(?=$|[{_SEPARATORS}/])"
        stripped.add(re.sub(token, "", name).strip(",_- /"))
    start = os.path.commonprefix(list(names))  # noqa: RUF071  of the letters, not of a path
    return (stripped.pop() if len(stripped) == 1 else start.rstrip(",_-. /=")) or f"{names[0]}, …"
