"""Compress images to ``.hpcm`` files."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from hpcm_spectral.cli.coding import CodingSettings, code_files
from hpcm_spectral.codec import Codec
from hpcm_spectral.config import Megapixels, check_settings, plain
from hpcm_spectral.data.decode import as_tensor, read_image_and_profile
from hpcm_spectral.data.folder import list_images
from hpcm_spectral.data.profiles import Profile, profile_notes
from hpcm_spectral.evaluation.files import SUFFIX, write_hpcm
from hpcm_spectral.evaluation.levels import check_level


class CompressSettings(CodingSettings):
    """The settings of ``conf/compress.yaml``."""

    level: int | None
    max_megapixels: Megapixels


def run_compression(cfg: DictConfig) -> None:
    """Code images into ``.hpcm`` files.

    Raises:
        UserError: Something that the user can mend; other images are coded all the same.
    """
    settings = check_settings(CompressSettings, plain(cfg))
    profiles: list[Profile] = []

    def prepare(codec: Codec) -> Callable[[Path, Path], tuple[int, bool]]:
        level = codec.middle_level if settings.level is None else settings.level
        check_level(codec, level, "level")
        if codec.levels > 1:
            print(f"rate level {level} of 0 to {codec.levels - 1}")
        device = next(codec.parameters()).device

        def compress(source: Path, target: Path) -> tuple[int, bool]:
            pixels, profile = read_image_and_profile(source, settings.max_megapixels)
            profiles.append(profile)
            image = write_hpcm(codec, as_tensor(pixels)[None].to(device), target, level)
            return image.height * image.width, True

        return compress

    try:
        code_files(settings, list_images, SUFFIX, prepare)
    finally:
        for note in profile_notes(profiles):
            print(f"images: {note}")
