"""Images as real files: ``.hpcm`` and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image

from hpcm_spectral.codec import Codec, EncodedImage
from hpcm_spectral.entropy.container import pack, unpack
from hpcm_spectral.errors import CodingError, UserError, first_line
from hpcm_spectral.files import whole_file
from hpcm_spectral.metrics.quality import to_8bit
from hpcm_spectral.models.fingerprint import fingerprint
from hpcm_spectral.names import printable
from hpcm_spectral.ops.devices import out_of_memory

SUFFIX = ".hpcm"


@contextmanager
def coding(path: Path) -> Iterator[None]:
    """Have whatever fails while a file is coded or decoded end in a sentence that names it.

    Raises:
        UserError: It failed.
        OSError: A file cannot be read or written.
    """
    try:
        yield
    except CodingError as error:
        raise error if printable(path) in str(error) else CodingError(f"{path}: {error}") from error
    except (UserError, OSError):
        raise
    except Exception as error:  # a class of one's own can fail in any way
        if out_of_memory(error):
            raise CodingError(
                f"{path} must fit into memory while it is coded, but takes more than there is; cut the image into "
                "parts, or use a machine with more."
            ) from error
        raise CodingError(f"{path} cannot be coded: {type(error).__name__}: {first_line(error)}.") from error


def write_hpcm(codec: Codec, x: Float[torch.Tensor, "1 3 H W"], path: Path, level: int = 0) -> EncodedImage:
    """Code an image into a file, whole or not at all, and return its strings.

    Args:
        codec: With its coding tables, as :func:`hpcm_spectral.models.load_codec` returns it.
        x: The image in [0, 1], of any size, on the codec's device.
        path: Where to write.
        level: Rate level.

    Raises:
        CodingError: The image cannot be coded.
        OSError: The file cannot be written.
    """
    image = codec.encode(x, level)
    content = pack(image, fingerprint(codec))
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return image


def read_hpcm(codec: Codec, path: Path, scales: int | None = None) -> Float[torch.Tensor, "1 3 H W"]:
    """Decode a file that :func:`write_hpcm` wrote with the same codec.

    Args:
        codec: With its coding tables.
        path: The file.
        scales: Decode only as many of the codec's scales; None: all.

    Returns:
        The reconstruction on the codec's device, not clamped.

    Raises:
        CodingError: The file is not that, or was altered, or came from a machine that computes other priors.
        OSError: The file cannot be read.
    """
    try:
        image = unpack(Path(path).read_bytes(), fingerprint(codec))
        return codec.decode(image) if scales is None else codec.decode(image, scales)
    except CodingError as error:
        raise CodingError(f"{path} {error}.") from None


def write_png(x_hat: Float[torch.Tensor, "1 3 H W"], path: Path) -> None:
    """Write a reconstruction, clamped to [0, 1] and rounded, as an 8-bit PNG, whole or not at all."""
    pixels = (to_8bit(x_hat[0]) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    with whole_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
