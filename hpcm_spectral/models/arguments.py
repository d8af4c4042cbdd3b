"""Arguments of a codec from a file, compared with values of the kind that they must be."""

import json
from collections.abc import Mapping
from typing import Any

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models.weights import shown


def check_like(
    examples: Mapping[str, Any], given: Mapping[str, Any], owner: str, *, same_lengths: bool = False
) -> None:
    """Refuse arguments unless each of the examples is there, with a value of the same type, and nothing else.

    Args:
        examples: A value for every argument; a tuple stands for a list of such values.
        given: Values of any type.
        owner: The file, for messages.
        same_lengths: Whether lists must be as long as their examples.

    Raises:
        CheckpointError: The first argument that does not fit is named.
    """
    for name in (*examples, *given):
        if name not in given or name not in examples:
            state = "is missing" if name not in given else "is unknown"
            raise CheckpointError(f"{owner} must hold the arguments {', '.join(examples)}, but {shown(name)} {state}.")
        if not _is_like(given[name], examples[name], same_lengths):
            like = json.dumps(examples[name])
            raise CheckpointError(f"{owner} must hold as {name} a value like {like}, got {shown(given[name])}.")


def _is_like(value: object, example: object, same_lengths: bool) -> bool:
    if isinstance(example, tuple):
        if not isinstance(value, list) or (same_lengths and len(value) != len(example)):
            return False
        return all(_is_like(one, example[0], same_lengths) for one in value)
    return type(value) is type(example) or (isinstance(example, float) and type(value) is int)
