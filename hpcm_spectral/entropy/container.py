"""The file format ``.hpcm``; docs/file-format.md describes it."""

import struct
import zlib

from hpcm_spectral.codec import EncodedImage
from hpcm_spectral.errors import CodingError

MAGIC = b"HPCM"
VERSION = 1
FINGERPRINT_BYTES = 16
# Height, width, bytes of z, bytes of y, CRC-32 of the symbols, CRC-32 of the strings.
_FIELDS = struct.Struct(f"<4sH{FINGERPRINT_BYTES}s6I")
_CRC = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CRC.size
# What a decoder is willing to hold in memory.
MAX_PIXELS = 2**28


def pack(image: EncodedImage, fingerprint: bytes) -> bytes:
    """A file's content.

    Args:
        image: With its checksum.
        fingerprint: Of the codec, 16 bytes.

    Raises:
        CodingError: The image is larger than a file may hold.
    """
    assert image.checksum is not None
    assert len(fingerprint) == FINGERPRINT_BYTES
    _check_size(image.height, image.width)
    z, y = image.strings["z"], image.strings["y"]
    payload = z + y
    fields = (image.height, image.width, len(z), len(y), image.checksum, zlib.crc32(payload))
    header = _FIELDS.pack(MAGIC, VERSION, fingerprint, *fields)
    return header + _CRC.pack(zlib.crc32(header)) + payload


def unpack(content: bytes, fingerprint: bytes) -> EncodedImage:
    """The image in a file's content, checked against every checksum that needs no decoding.

    Args:
        content: The whole file.
        fingerprint: Of the codec that is to decode it.

    Raises:
        CodingError: It is no such file, of another version or codec, cut short, or altered.
    """
    if content[: len(MAGIC)] != MAGIC:
        raise CodingError("must begin with HPCM, but is something else; choose a file that compress.py wrote")
    if len(content) < HEADER_BYTES:
        raise CodingError(f"must have a header of {HEADER_BYTES} bytes, but ends after {len(content)}; it is cut short")
    header, crc = content[: _FIELDS.size], _CRC.unpack_from(content, _FIELDS.size)[0]
    _, version, theirs, height, width, z_bytes, y_bytes, checksum, payload_crc = _FIELDS.unpack(header)
    if zlib.crc32(header) != crc:
        raise CodingError("must have the header that was written, but its checksum differs; the file is damaged")
    if version != VERSION:
        raise CodingError(f"must be of version {VERSION}, but is of version {version}; use the program that wrote it")
    if theirs != fingerprint:
        raise CodingError(
            f"must be decoded with the codec that wrote it ({theirs.hex()[:12]}), got another "
            f"({fingerprint.hex()[:12]}); choose that codec"
        )
    _check_size(height, width)
    payload = content[HEADER_BYTES:]
    if len(payload) != z_bytes + y_bytes:
        raise CodingError(
            f"must hold {z_bytes + y_bytes} bytes after its header, but holds {len(payload)}; the file is damaged"
        )
    if zlib.crc32(payload) != payload_crc:
        raise CodingError("must hold what was written, but its checksum differs; the file is damaged")
    return EncodedImage({"z": payload[:z_bytes], "y": payload[z_bytes:]}, height, width, checksum=checksum)


def _check_size(height: int, width: int) -> None:
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise CodingError(f"must be an image of 1 to {MAX_PIXELS:,} pixels, got {height}x{width}; cut it into parts")
