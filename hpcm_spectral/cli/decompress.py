"""Decompress ``.hpcm`` files to PNG images."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from hpcm_spectral.cli.coding import CodingSettings, code_files
from hpcm_spectral.codec import Codec
from hpcm_spectral.config import check_settings, plain
from hpcm_spectral.data.folder import list_files
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.evaluation.files import SUFFIX, read_hpcm, write_png


class DecompressSettings(CodingSettings):
    """The settings of ``conf/decompress.yaml``."""

    scales: int | None


def run_decompression(cfg: DictConfig) -> None:
    """Decode ``.hpcm`` files into PNG images.

    Raises:
        UserError: Something that the user can mend; other files are decoded all the same.
    """
    settings = check_settings(DecompressSettings, plain(cfg))

    def prepare(codec: Codec) -> Callable[[Path, Path], tuple[int, bool]]:
        scales = settings.scales
        if scales is not None and not 1 <= scales <= codec.scales:
            must = f"lie between 1 and {codec.scales}" if codec.scales > 1 else "be 1 or null"
            raise ConfigError(f"scales must {must} for {codec.name}, got {scales}.")
        if scales is not None and scales < codec.scales:
            print(f"the first {scales} of {codec.scales} scales")

        def decompress(source: Path, target: Path) -> tuple[int, bool]:
            x_hat = read_hpcm(codec, source, scales)
            write_png(x_hat, target)
            return x_hat.shape[-2] * x_hat.shape[-1], scales in (None, codec.scales)

        return decompress

    code_files(settings, lambda folder: list_files(folder, {SUFFIX}, f"{SUFFIX} files"), ".png", prepare)
