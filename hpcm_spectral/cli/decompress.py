"""Decompress ``.hpcm`` files to PNG images."""

from pathlib import Path

from omegaconf import DictConfig

from hpcm_spectral.cli.coding import code_files
from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.evaluation.files import SUFFIX, read_hpcm, write_png


def run_decompression(cfg: DictConfig) -> None:
    """Decode ``.hpcm`` files into PNG images.

    Raises:
        UserError: Something that the user can mend; other files are decoded all the same.
    """
    code_files(cfg, _list_files, ".png", _decompress)


def _list_files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob(f"*{SUFFIX}"))
    if not found:
        raise ConfigError(f"input must hold {SUFFIX} files, but {folder} has none; check the path.")
    return found


def _decompress(codec: Codec, source: Path, target: Path) -> int:
    x_hat = read_hpcm(codec, source)
    write_png(x_hat, target)
    return x_hat.shape[-2] * x_hat.shape[-1]
