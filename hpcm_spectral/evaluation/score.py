"""Encode images to files, decode the files, measure."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from hpcm_spectral.codec import Codec
from hpcm_spectral.data import as_tensor, read_image
from hpcm_spectral.data.decode import MAX_MEGAPIXELS
from hpcm_spectral.errors import UserError
from hpcm_spectral.evaluation.datasets import EvaluationImages
from hpcm_spectral.evaluation.files import SUFFIX, coding, read_hpcm, write_hpcm
from hpcm_spectral.metrics import MS_SSIM_MIN_SIDE, bits, ms_ssim_db, psnr_8bit
from hpcm_spectral.names import target_names
from hpcm_spectral.ops.devices import reproducible, synchronize

Made = TypeVar("Made")


@dataclass(frozen=True)
class ImageScore:
    """What one image cost and how well it came back, measured on its file.

    Attributes:
        image: Its name.
        height: In pixels.
        width: In pixels.
        file_bytes: Length of the file: the strings and what the container adds.
        string_bytes: Length of each string, by name.
        estimated_bits: What the likelihoods of each latent promise, by name.
        psnr: In dB, after rounding to 8 bits; infinite if every pixel came back exactly.
        ms_ssim_db: ``-10 log10(1 - MS-SSIM)`` after rounding to 8 bits; None for an image that is too small for it.
        encode_seconds: From the image on the device to its file on disk.
        decode_seconds: From the file to the image on the device.
    """

    image: str
    height: int
    width: int
    file_bytes: int
    string_bytes: Mapping[str, int]
    estimated_bits: Mapping[str, float]
    psnr: float
    ms_ssim_db: float | None
    encode_seconds: float
    decode_seconds: float

    def bpp(self, of: float) -> float:
        """``of`` bits per pixel of the image."""
        return of / (self.height * self.width)

    @property
    def ms_ssim(self) -> float | None:
        """MS-SSIM itself, 0 to 1."""
        return None if self.ms_ssim_db is None else 1 - 10 ** (-self.ms_ssim_db / 10)


def score_codec(
    codec: Codec,
    images: EvaluationImages,
    folder: Path,
    on_image: Callable[[ImageScore | UserError | OSError], object],
    level: int = 0,
) -> None:
    """Score every image, after one that only warms up; one that fails does not stop the others.

    Args:
        codec: In evaluation mode, on the device to measure on.
        images: What to code.
        folder: Gets a file per image that is scored, in folders like theirs.
        on_image: Gets the score of each image, or why there is none, before the next one is begun.
        level: Rate level.
    """
    files = [folder / name for name in target_names(images.relative, SUFFIX, whole=True)]
    for parent in {file.parent for file in files}:
        parent.mkdir(parents=True, exist_ok=True)
    most = images.max_megapixels
    with contextlib.suppress(UserError, OSError):  # which come again
        score_image(codec, images.paths[0], files[0], images.names[0], level, most)
    for path, file, name in zip(images.paths, files, images.names, strict=True):
        try:
            scored: ImageScore | UserError | OSError = score_image(codec, path, file, name, level, most)
        except (UserError, OSError) as error:
            file.unlink(missing_ok=True)
            scored = error
        on_image(scored)


def score_image(
    codec: Codec, image: Path, file: Path, name: str, level: int = 0, max_megapixels: int = MAX_MEGAPIXELS
) -> ImageScore:
    """Code one image and measure it; nothing but the file passes from the encoder to the decoder.

    Raises:
        DataError: The image cannot be read.
        CodingError: It cannot be coded.
        OSError: Its file cannot be written.
    """
    with coding(file):  # names image and codec
        return _score(codec, image, file, name, level, max_megapixels)


def _score(codec: Codec, image: Path, file: Path, name: str, level: int, max_megapixels: int) -> ImageScore:
    device = next(codec.parameters()).device
    original = as_tensor(read_image(image, max_megapixels)).unsqueeze(0)
    x = original.to(device)
    # The arithmetic of coding; also warms up what is chosen per image size, such as the kernels of convolutions.
    with torch.inference_mode(), reproducible(device):
        estimated = {
            name: bits(values).item() for name, values in codec(x, **codec.at_level(level))["likelihoods"].items()
        }
    encoded, encode_seconds = timed(device, lambda: write_hpcm(codec, x, file, level))
    x_hat, decode_seconds = timed(device, lambda: read_hpcm(codec, file))
    # Scored on the CPU: a GPU's convolutions may take fewer bits, which MS-SSIM would show.
    decoded = x_hat.float().cpu()
    height, width = original.shape[-2:]
    return ImageScore(
        image=name,
        height=height,
        width=width,
        file_bytes=file.stat().st_size,
        string_bytes={name: len(string) for name, string in encoded.strings.items()},
        estimated_bits=estimated,
        psnr=psnr_8bit(original, decoded).item(),
        ms_ssim_db=ms_ssim_db(original, decoded).item() if min(height, width) >= MS_SSIM_MIN_SIDE else None,
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
    )


def timed(device: torch.device, make: Callable[[], Made]) -> tuple[Made, float]:
    """What ``make`` returns, and the seconds until the device has finished it."""
    synchronize(device)
    start = time.perf_counter()
    made = make()
    synchronize(device)
    return made, time.perf_counter() - start
