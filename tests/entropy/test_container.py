"""The file format: what is in it, byte by byte, and what is refused."""

import struct
import zlib

import pytest

from hpcm_spectral.codec import EncodedImage
from hpcm_spectral.entropy.container import HEADER_BYTES, MAX_PIXELS, pack, unpack
from hpcm_spectral.errors import CodingError

CODEC = bytes(range(16))
IMAGE = EncodedImage({"z": b"hyper", "y": b"latents"}, height=300, width=451, checksum=0x89ABCDEF)


def test_every_field_lies_where_the_document_says() -> None:
    content = pack(IMAGE, CODEC)
    assert HEADER_BYTES == 50
    assert content[:6] == b"HPCM\x01\x00"
    assert content[6:22] == CODEC
    assert struct.unpack("<6I", content[22:46]) == (300, 451, 5, 7, 0x89ABCDEF, zlib.crc32(b"hyperlatents"))
    assert struct.unpack("<I", content[46:50]) == (zlib.crc32(content[:46]),)
    assert content[50:] == b"hyperlatents"
    assert unpack(content, CODEC) == IMAGE


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    content = pack(IMAGE, CODEC)
    for place in range(8 * len(content)):
        altered = bytearray(content)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(CodingError):
            unpack(bytes(altered), CODEC)
    for length in range(len(content)):
        with pytest.raises(CodingError):
            unpack(content[:length], CODEC)
    with pytest.raises(CodingError, match="must hold 12 bytes after its header, but holds 13"):
        unpack(content + b"x", CODEC)


def with_header(**changes: int | bytes) -> bytes:
    """A file whose header has a right checksum, whatever it says."""
    fields = {"magic": b"HPCM", "version": 1, "codec": CODEC, "height": 300, "width": 451, "z": 5, "y": 7}
    fields |= {"checksum": 1, "crc": zlib.crc32(b"hyperlatents"), **changes}
    header = struct.pack("<4sH16s6I", *fields.values())
    return header + struct.pack("<I", zlib.crc32(header)) + b"hyperlatents"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magic": b"\x89PNG"}, "must begin with HPCM"),
        ({"version": 2}, "must be of version 1, but is of version 2"),
        ({"codec": bytes(16)}, "must be decoded with the codec that wrote it .000000000000., got another"),
        ({"height": 0}, "must be an image of 1 to 268,435,456 pixels, got 0x451"),
        ({"height": 2**32 - 1, "width": 2**32 - 1}, "must be an image of 1 to 268,435,456 pixels"),
        ({"z": 2**32 - 1}, "must hold 4294967302 bytes after its header, but holds 12"),
        ({"crc": 0}, "must hold what was written, but its checksum differs"),
    ],
)
def test_a_header_that_lies_is_refused_by_what_it_says(changes: dict[str, int | bytes], message: str) -> None:
    with pytest.raises(CodingError, match=message):
        unpack(with_header(**changes), CODEC)


def test_a_header_without_lies_is_accepted() -> None:
    assert unpack(with_header(), CODEC).y == b"latents"


def test_an_image_too_large_to_be_read_is_not_written() -> None:
    with pytest.raises(CodingError, match="pixels, got 268435457x1"):
        pack(EncodedImage({"z": b"", "y": b""}, MAX_PIXELS + 1, 1, checksum=0), CODEC)
