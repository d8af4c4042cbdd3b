"""The file format ``.hpcm``; docs/file-format.md describes it."""

import io
import struct
import zlib
from typing import NamedTuple

from hpcm_spectral.codec import EncodedImage
from hpcm_spectral.errors import CodingError

MAGIC = b"HPCM"
VERSION = 2
FINGERPRINT_BYTES = 16
# What a decoder is willing to hold in memory.
MAX_PIXELS = 2**28
_START = struct.Struct("<4sH")
# Fingerprint, height, width, level, whether there is a checksum of symbols, it, CRC-32 of the strings, their number.
_FIELDS = struct.Struct(f"<{FINGERPRINT_BYTES}s2IH?2IB")
# Of version 1: fingerprint, height, width, bytes of z and of y, the two checksums.
_FIELDS_1 = struct.Struct(f"<{FINGERPRINT_BYTES}s6I")
_LENGTH = _CRC = struct.Struct("<I")


def pack(image: EncodedImage, fingerprint: bytes) -> bytes:
    """A file's content: at most 255 strings, with names of at most 255 bytes, and the codec's fingerprint of 16.

    Raises:
        CodingError: The image is larger than a file may hold.
    """
    assert len(fingerprint) == FINGERPRINT_BYTES
    _check_size(image.height, image.width)
    payload = b"".join(image.strings.values())
    checks = (image.checksum is not None, image.checksum or 0, zlib.crc32(payload))
    fields = _FIELDS.pack(fingerprint, image.height, image.width, image.level, *checks, len(image.strings))
    entries = [(name.encode(), len(string)) for name, string in image.strings.items()]
    table = b"".join(bytes([len(name)]) + name + _LENGTH.pack(length) for name, length in entries)
    header = _START.pack(MAGIC, VERSION) + fields + table
    return header + _CRC.pack(zlib.crc32(header)) + payload


def unpack(content: bytes, fingerprint: bytes) -> EncodedImage:
    """The image in a whole file of this version or version 1, for the codec of this fingerprint.

    Every checksum that needs no decoding is checked.

    Raises:
        CodingError: It is no such file, of another version or codec, cut short, or altered.
    """
    if content[: len(MAGIC)] != MAGIC:
        raise CodingError("must begin with HPCM, but is something else; choose a file that compress.py wrote")
    _, version = _START.unpack(_take(content, 0, _START.size))
    if version not in (1, VERSION):
        raise CodingError(
            f"must be of version 1 or {VERSION}, but is of version {version}; use the program that wrote it"
        )
    header = _read_header_1(content) if version == 1 else _read_header(content)
    (crc,) = _CRC.unpack(_take(content, header.end, _CRC.size))
    if zlib.crc32(content[: header.end]) != crc:
        raise CodingError("must have the header that was written, but its checksum differs; the file is damaged")
    if header.fingerprint != fingerprint:
        raise CodingError(
            f"must be decoded with the codec that wrote it ({header.fingerprint.hex()[:12]}), got another "
            f"({fingerprint.hex()[:12]}); choose that codec"
        )
    _check_size(header.height, header.width)
    payload, length = content[header.end + _CRC.size :], sum(header.lengths.values())
    if len(payload) != length:
        raise CodingError(f"must hold {length} bytes after its header, but holds {len(payload)}; the file is damaged")
    if zlib.crc32(payload) != header.crc:
        raise CodingError("must hold what was written, but its checksum differs; the file is damaged")
    stream = io.BytesIO(payload)
    strings = {name: stream.read(length) for name, length in header.lengths.items()}
    return EncodedImage(strings, header.height, header.width, header.level, header.checksum)


class _Header(NamedTuple):
    end: int
    fingerprint: bytes
    height: int
    width: int
    level: int
    checksum: int | None
    crc: int
    lengths: dict[str, int]


def _read_header_1(content: bytes) -> _Header:
    end = _START.size + _FIELDS_1.size
    fingerprint, height, width, z, y, checksum, crc = _FIELDS_1.unpack(_take(content, _START.size, _FIELDS_1.size))
    return _Header(end, fingerprint, height, width, 0, checksum, crc, {"z": z, "y": y})


def _read_header(content: bytes) -> _Header:
    end = _START.size + _FIELDS.size
    fields = _FIELDS.unpack(_take(content, _START.size, _FIELDS.size))
    fingerprint, height, width, level, has_checksum, checksum, crc, count = fields
    lengths: dict[str, int] = {}
    for _ in range(count):
        (name_bytes,) = _take(content, end, 1)
        name = _take(content, end + 1, name_bytes).decode("utf-8", errors="replace")
        end += 1 + name_bytes
        (lengths[name],) = _LENGTH.unpack(_take(content, end, _LENGTH.size))
        end += _LENGTH.size
    return _Header(end, fingerprint, height, width, level, checksum if has_checksum else None, crc, lengths)


def _take(content: bytes, place: int, length: int) -> bytes:
    part = content[place : place + length]
    if len(part) < length:
        raise CodingError(f"must have a whole header, but ends after {len(content)} bytes; it is cut short")
    return part


def _check_size(height: int, width: int) -> None:
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise CodingError(f"must be an image of 1 to {MAX_PIXELS:,} pixels, got {height}x{width}; cut it into parts")
