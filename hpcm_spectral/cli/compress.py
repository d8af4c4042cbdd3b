"""Compress images to ``.hpcm`` files."""

from pathlib import Path

from omegaconf import DictConfig

from hpcm_spectral.cli.coding import code_files
from hpcm_spectral.codec import Codec
from hpcm_spectral.data.decode import as_tensor, read_image
from hpcm_spectral.data.folder import list_images
from hpcm_spectral.evaluation.files import SUFFIX, write_hpcm


def run_compression(cfg: DictConfig) -> None:
    """Code images into ``.hpcm`` files.

    Raises:
        UserError: Something that the user can mend; other images are coded all the same.
    """
    code_files(cfg, list_images, SUFFIX, _compress)


def _compress(codec: Codec, source: Path, target: Path) -> int:
    x = as_tensor(read_image(source))[None].to(next(codec.parameters()).device)
    image = write_hpcm(codec, x, target)
    return image.height * image.width
