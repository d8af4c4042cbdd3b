"""Full images for validation."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from hpcm_spectral.data.decode import as_tensor, read_image
from hpcm_spectral.data.screening import OnError, screen
from hpcm_spectral.errors import DataError

logger = logging.getLogger(__name__)


class ValidationImages(Dataset[Tensor]):
    """Uncropped images in the order of their paths; item k is a float32 tensor [3, H, W], 0 to 1.

    Every image is decoded once at construction, as a file that fails in the middle of a validation would
    change what its mean is taken over.

    Args:
        paths: Image files.
        on_error: ``skip`` leaves out undecodable files and names them in logged warnings; ``raise`` stops.

    Attributes:
        paths: The decodable files.
        names: One name per item: the file name, with as much of its folders as tells all items apart.

    Raises:
        DataError: A file cannot be decoded and ``on_error`` is ``raise``, or none is left. Items raise it if
            their file has vanished since.
    """

    def __init__(self, paths: Sequence[Path], on_error: OnError = "skip") -> None:
        # Only the outcome is kept: a validation set may be larger than memory.
        self.paths = [path for path, _ in screen(paths, _decodes, on_error)]
        dropped = len(paths) - len(self.paths)
        if not self.paths:
            raise DataError(
                f"Validation needs at least one image, but all {dropped} files were unreadable; "
                "add images that Pillow can decode."
            )
        self.names = _names(self.paths)
        skipped = f"; {dropped} unreadable skipped" if dropped else ""
        logger.info("val: %d images%s", len(self.paths), skipped)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Float[Tensor, "3 H W"]:
        return as_tensor(read_image(self.paths[index]))


def _decodes(path: Path) -> bool:
    read_image(path)
    return True


def _names(paths: Sequence[Path]) -> list[str]:
    names = [path.name for path in paths]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([path.absolute().parent for path in paths])
    return [path.absolute().relative_to(common).as_posix() for path in paths]
