"""JSON of a run folder, and the one sentence about any of its files that is damaged."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hpcm_spectral.errors import UserError, one_line
from hpcm_spectral.files import write_text

DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError, OmegaConfBaseException)


@contextlib.contextmanager
def reading(path: Path, purpose: str, error: type[UserError] = UserError) -> Iterator[None]:
    """Whatever a damaged file brings about, as one sentence; ``purpose`` is what it must do: ``list the samples``."""
    try:
        yield
    except DAMAGE as damage:
        what = f"it lacks {damage}" if type(damage) is KeyError else one_line(damage)
        raise error(f"{path} must {purpose}, but: {what}; restore the file or move it away.") from None


def read_json(path: Path) -> Any:
    """The content of a JSON file; to be called within :func:`reading`."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write valid JSON, whole or not at all; a number that is not finite becomes null."""
    write_text(path, json.dumps(_valid(content), indent=2, allow_nan=False) + "\n")


def _valid(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _valid(item) for key, item in value.items()}
    return [_valid(item) for item in value] if isinstance(value, list | tuple) else value
