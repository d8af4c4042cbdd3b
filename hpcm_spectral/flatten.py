"""Nested settings by dotted key."""

from collections.abc import Mapping
from typing import Any


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key; a group without settings and a list are values.

    >>> flatten({"seed": 1, "loss": {"lmbda": 0.01}, "phase2": {}})
    {'seed': 1, 'loss.lmbda': 0.01, 'phase2': {}}
    """
    if not isinstance(node, Mapping) or not node:
        return {prefix.rstrip("."): node}
    return {k: v for key, value in node.items() for k, v in flatten(value, f"{prefix}{key}.").items()}
