"""The file format: what is in it, byte by byte, and what is refused; files of version 1 are still read."""

import struct
import zlib
from dataclasses import replace

import pytest

from hpcm_spectral.codec import EncodedImage
from hpcm_spectral.entropy.container import MAX_PIXELS, pack, unpack
from hpcm_spectral.errors import CodingError

CODEC = bytes(range(16))
IMAGE = EncodedImage({"z": b"hyper", "y": b"latents"}, height=300, width=451, level=9, checksum=0x89ABCDEF)
PAYLOAD = b"hyperlatents"


def test_every_field_lies_where_the_document_says() -> None:
    content = pack(IMAGE, CODEC)
    assert content[:6] == b"HPCM\x02\x00"
    assert content[6:22] == CODEC
    assert struct.unpack("<2IH?2IB", content[22:42]) == (300, 451, 9, True, 0x89ABCDEF, zlib.crc32(PAYLOAD), 2)
    assert content[42:54] == b"\x01z\x05\x00\x00\x00\x01y\x07\x00\x00\x00"
    assert struct.unpack("<I", content[54:58]) == (zlib.crc32(content[:54]),)
    assert content[58:] == PAYLOAD
    assert unpack(content, CODEC) == IMAGE


@pytest.mark.parametrize(
    "image",
    [
        replace(IMAGE, checksum=None, level=0),
        replace(IMAGE, checksum=0),
        replace(IMAGE, strings={f"scale {n}": bytes(n) for n in range(5)}),
        replace(IMAGE, strings={}),
    ],
)
def test_any_strings_come_back_by_name_and_in_order(image: EncodedImage) -> None:
    back = unpack(pack(image, CODEC), CODEC)
    assert back == image
    assert list(back.strings) == list(image.strings)


def refuses_every_flipped_bit_and_every_cut(content: bytes) -> bool:
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
    return True


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    assert refuses_every_flipped_bit_and_every_cut(pack(IMAGE, CODEC))
    assert refuses_every_flipped_bit_and_every_cut(version_1())


def sealed(header: bytes) -> bytes:
    """A file whose header has a right checksum, whatever it says."""
    return header + struct.pack("<I", zlib.crc32(header)) + PAYLOAD


def version_1(**changes: int | bytes) -> bytes:
    fields = {"magic": b"HPCM", "version": 1, "codec": CODEC, "height": 300, "width": 451, "z": 5, "y": 7}
    fields |= {"checksum": 1, "crc": zlib.crc32(PAYLOAD), **changes}
    return sealed(struct.pack("<4sH16s6I", *fields.values()))


def version_2(*, z: int = 5, y: int = 7, **changes: int | bytes) -> bytes:
    fields = {"magic": b"HPCM", "version": 2, "codec": CODEC, "height": 300, "width": 451, "level": 0, "has": True}
    fields |= {"checksum": 1, "crc": zlib.crc32(PAYLOAD), "count": 2, **changes}
    return sealed(
        struct.pack("<4sH16s2IH?2IB", *fields.values())
        + struct.pack("<BcI", 1, b"z", z)
        + struct.pack("<BcI", 1, b"y", y)
    )


@pytest.mark.parametrize("make", [version_1, version_2])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magic": b"\x89PNG"}, "must begin with HPCM"),
        ({"version": 3}, "must be of version 1 or 2, but is of version 3"),
        ({"codec": bytes(16)}, "must be decoded with the codec that wrote it .000000000000., got another"),
        ({"height": 0}, "must be an image of 1 to 268,435,456 pixels, got 0x451"),
        ({"height": 2**32 - 1, "width": 2**32 - 1}, "must be an image of 1 to 268,435,456 pixels"),
        ({"z": 2**32 - 1}, "must hold 4294967302 bytes after its header, but holds 12"),
        ({"crc": 0}, "must hold what was written, but its checksum differs"),
    ],
)
def test_a_header_that_lies_is_refused_by_what_it_says(make, changes: dict[str, int | bytes], message: str) -> None:
    with pytest.raises(CodingError, match=message):
        unpack(make(**changes), CODEC)


@pytest.mark.parametrize("make", [version_1, version_2])
def test_a_header_without_lies_is_accepted(make) -> None:
    expected = EncodedImage({"z": b"hyper", "y": b"latents"}, 300, 451, checksum=1)
    assert unpack(make(), CODEC) == expected


def test_a_table_that_runs_over_the_end_is_refused() -> None:
    with pytest.raises(CodingError, match="must have a whole header"):
        unpack(version_2(count=255), CODEC)


def test_an_image_too_large_to_be_read_is_not_written() -> None:
    with pytest.raises(CodingError, match="pixels, got 268435457x1"):
        pack(EncodedImage({"z": b"", "y": b""}, MAX_PIXELS + 1, 1, checksum=0), CODEC)
