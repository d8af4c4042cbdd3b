"""Sorting out the files that cannot be used before training starts."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from hpcm_spectral.errors import DataError

OnError = Literal["skip", "raise"]
Checked = TypeVar("Checked")

logger = logging.getLogger(__name__)


def screen(paths: Sequence[Path], check: Callable[[Path], Checked], on_error: OnError) -> list[tuple[Path, Checked]]:
    """Run a check on every file and keep the files that pass.

    Args:
        paths: Files, in the order to keep.
        check: Raises a DataError that names the file if it cannot be used.
        on_error: ``skip`` leaves a failing file out and names it in a logged warning; ``raise`` stops.

    Returns:
        The passing files, each with what its check returned.

    Raises:
        DataError: A check failed and ``on_error`` is ``raise``.
    """
    passed = []
    for path in paths:
        try:
            passed.append((path, check(path)))
        except DataError as error:
            if on_error == "raise":
                raise
            logger.warning("Skipped an image: %s", error)
    return passed
