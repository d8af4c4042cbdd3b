"""What coding an image gives."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EncodedImage:
    """An image as strings of an entropy coder.

    Args:
        y: The latent's string.
        z: The hyper latent's string.
        height: Of the image in pixels.
        width: Of the image in pixels.
        checksum: CRC-32 of the symbols of z, xor that of the symbols of y; None where a form of storage keeps none.
    """

    y: bytes
    z: bytes
    height: int
    width: int
    checksum: int | None = None
