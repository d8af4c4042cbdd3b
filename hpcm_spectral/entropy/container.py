"""The file format ``.hpcm``; docs/file-format.md describes it."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

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
_LENGTH = struct.Struct("<I")
_CRC = struct.Struct("<I")


def pack(image: EncodedImage, fingerprint: bytes) -> bytes:
    """A file's content.

    Args:
        image: At most 255 strings, with names of at most 255 bytes.
        fingerprint: Of the codec, 16 bytes.

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
    """The image in a file's content, checked against every checksum that needs no decoding.

    Args:
        content: The whole file, of this version or version 1.
        fingerprint: Of the codec that is to decode it.

    Raises:
        CodingError: It is no such file, of another version or codec, cut short, or altered.
    """
    if content[: len(MAGIC)] != MAGIC:
        raise CodingError("must begin with HPCM, but is something else; choose a file that compress.py wrote")
    _, version = _START.unpack(_take(content, 0, _START.size))
    readers: dict[int, Callable[[bytes], tuple[int, dict[str, Any]]]] = {1: _read_version_1, 2: _read_version_2}
    if version not in readers:
        raise CodingError(
            f"must be of version 1 or {VERSION}, but is of version {version}; use the program that wrote it"
        )
    end, fields = readers[version](content)
    (crc,) = _CRC.unpack(_take(content, end, _CRC.size))
    if zlib.crc32(content[:end]) != crc:
        raise CodingError("must have the header that was written, but its checksum differs; the file is damaged")
    if fields["fingerprint"] != fingerprint:
        raise CodingError(
            f"must be decoded with the codec that wrote it ({fields['fingerprint'].hex()[:12]}), got another "
            f"({fingerprint.hex()[:12]}); choose that codec"
        )
    _check_size(fields["height"], fields["width"])
    payload, lengths = content[end + _CRC.size :], fields["lengths"]
    if len(payload) != sum(lengths.values()):
        raise CodingError(
            f"must hold {sum(lengths.values())} bytes after its header, but holds {len(payload)}; the file is damaged"
        )
    if zlib.crc32(payload) != fields["crc"]:
        raise CodingError("must hold what was written, but its checksum differs; the file is damaged")
    strings, place = {}, 0
    for name, length in lengths.items():
        strings[name] = payload[place : place + length]
        place += length
    return EncodedImage(strings, fields["height"], fields["width"], fields["level"], fields["checksum"])


def _read_version_1(content: bytes) -> tuple[int, dict[str, Any]]:
    """Where the header ends, and what it says."""
    raw = _take(content, _START.size, _FIELDS_1.size)
    fingerprint, height, width, z, y, checksum, crc = _FIELDS_1.unpack(raw)
    fields = {
        "fingerprint": fingerprint,
        "height": height,
        "width": width,
        "level": 0,
        "checksum": checksum,
        "crc": crc,
    }
    return _START.size + _FIELDS_1.size, {**fields, "lengths": {"z": z, "y": y}}


def _read_version_2(content: bytes) -> tuple[int, dict[str, Any]]:
    place = _START.size + _FIELDS.size
    raw = _FIELDS.unpack(_take(content, _START.size, _FIELDS.size))
    fingerprint, height, width, level, has_checksum, checksum, crc, count = raw
    lengths: dict[str, int] = {}
    for _ in range(count):
        (name_bytes,) = _take(content, place, 1)
        name = _take(content, place + 1, name_bytes).decode("utf-8", errors="replace")
        place += 1 + name_bytes
        (lengths[name],) = _LENGTH.unpack(_take(content, place, _LENGTH.size))
        place += _LENGTH.size
    fields = {"fingerprint": fingerprint, "height": height, "width": width, "level": level, "crc": crc}
    return place, {**fields, "checksum": checksum if has_checksum else None, "lengths": lengths}


def _take(content: bytes, place: int, length: int) -> bytes:
    part = content[place : place + length]
    if len(part) < length:
        raise CodingError(f"must have a whole header, but ends after {len(content)} bytes; it is cut short")
    return part


def _check_size(height: int, width: int) -> None:
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise CodingError(f"must be an image of 1 to {MAX_PIXELS:,} pixels, got {height}x{width}; cut it into parts")
