"""Short names of runs and of groups of runs."""

import os
import re
from collections.abc import Sequence
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
    return _all_different([_cut(name) for name in _without_shared_overrides(names)])


def _without_shared_overrides(names: list[str]) -> list[str]:
    parts = [name.split(",") for name in names]
    shared = (
        {part for part in parts[0] if "=" in part and all(part in other for other in parts)} if parts[1:] else set()
    )
    shorter = [",".join(part for part in own if part not in shared) for own in parts]
    return shorter if all(shorter) and len(set(shorter)) == len(set(names)) else names


def _cut(name: str) -> str:
    return name if len(name) <= MAX_LENGTH else f"{name[: MAX_LENGTH // 2]}…{name[1 - MAX_LENGTH // 2 :]}"


def _all_different(names: list[str]) -> list[str]:
    taken: set[str] = set()
    for index, name in enumerate(names):
        number = 1
        while names[index] in taken:
            number += 1
            names[index] = f"{name} ({number})"
        taken.add(names[index])
    return names


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
    stripped = {_without(name, keys, value) for name, value in zip(names, values, strict=True)}
    start = os.path.commonprefix(list(names))  # noqa: RUF071  of the letters, not of a path
    return (stripped.pop() if len(stripped) == 1 else start.rstrip(",_-. /=")) or f"{names[0]}, …"


def _without(name: str, keys: str, value: object) -> str:
    token = rf"(^|[{_SEPARATORS}/])(?:(?:{keys})[=_\-]?)?{re.escape(str(value))}(?=$|[{_SEPARATORS}/])"
    return re.sub(token, "", name).strip(",_- /")


def different_labels(labels: Sequence[str]) -> list[str]:
    """The labels, repeated ones with a number."""
    return _all_different(list(labels))
