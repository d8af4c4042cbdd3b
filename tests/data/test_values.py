"""Pixels of more than 8 bits: which value is white, and that none is cut off where it should be rounded."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpcm_spectral.data import read_image
from hpcm_spectral.errors import DataError

RAMP = np.linspace(0.02, 0.98, 40 * 30).reshape(30, 40)


def read_floats(tmp_path: Path, values: np.ndarray) -> np.ndarray:
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "a.tif")
    return read_image(tmp_path / "a.tif")[:, :, 0]


@pytest.mark.parametrize("white", [1, 255, 65535])
@pytest.mark.parametrize("stray", [1.0001, 4.0, 300.0, 1e9, -1e9])
def test_one_pixel_does_not_change_what_floats_mean(tmp_path: Path, white: int, stray: float) -> None:
    values = RAMP * white
    values[3, 4] = stray * white
    read = read_floats(tmp_path, values)
    assert read[3, 4] == (255 if stray > 0 else 0)
    read[3, 4] = round(RAMP[3, 4] * 255)
    assert np.abs(read - RAMP * 255).max() <= 0.51


def test_a_few_highlights_and_undershoots_leave_zero_to_one(tmp_path: Path) -> None:
    values = RAMP.copy()
    values.ravel()[:10], values.ravel()[-10:] = -0.2, np.linspace(1, 2, 10)
    assert np.abs(read_floats(tmp_path, values) - np.clip(values, 0, 1) * 255).max() <= 0.51
    assert np.abs(read_floats(tmp_path, RAMP * 1.2) - np.clip(RAMP * 1.2, 0, 1) * 255).max() <= 0.51


@pytest.mark.parametrize("bright", [0, 5, 600])
def test_a_nearly_black_picture_of_whole_numbers_stays_black(tmp_path: Path, bright: int) -> None:
    values = np.random.default_rng(0).integers(0, 2, RAMP.shape).astype(float)
    values.ravel()[:bright] = 200
    values[-1, -2:] = 2
    assert np.array_equal(read_floats(tmp_path, values), values)
    values[9, 9] = 0.5
    assert read_floats(tmp_path, values).sum() == pytest.approx(values.sum(), abs=2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-1.0, 100.4, 300.0], [0, 100, 255]),
        ([1.0], [255]),
        ([0.0, 0.0], [0, 0]),
        ([1.0, 1.0, 0.0, 1.0], [255, 255, 0, 255]),
    ],
)
def test_few_floats(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    assert read_floats(tmp_path, np.array([values]))[0].tolist() == expected


@pytest.mark.parametrize(
    "values",
    [
        np.where(RAMP > 0.5, np.nan, RAMP),
        np.where(RAMP > 0.97, np.inf, RAMP),
        np.full((3, 3), np.nan),
        RAMP * 4,  # a picture of highlights, or a dark one?
        RAMP * 4095,
        RAMP * 1e9,
        RAMP * 2 - 1.2,
    ],
)
def test_floats_that_could_mean_anything_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"a\.tif.*value"):
        read_floats(tmp_path, values)


def test_wide_integers_span_16_bits(tmp_path: Path) -> None:
    Image.fromarray(np.array([[-5, 65535, 1 << 30]], dtype=np.int32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 255, 255]
    Image.fromarray((RAMP * 2**31).astype(np.int32)).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match=r"b\.tif"):
        read_image(tmp_path / "b.tif")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_png(path: Path, samples: np.ndarray, bits: int, colour: int, *before: tuple[bytes, bytes]) -> Path:
    """Write samples [H, W, C] as they are; Pillow writes no 16-bit colours."""
    height, width, _ = samples.shape
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in samples]
    else:
        wide = np.unpackbits(samples.reshape(height, -1, 1).astype(np.uint8), axis=2)[:, :, 8 - bits :]
        rows = [np.packbits(row).tobytes() for row in wide.reshape(height, -1)]
    content = b"".join(b"\0" + row for row in rows)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), *before, (b"IDAT", zlib.compress(content)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in chunks))
    return path


GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6


@pytest.mark.parametrize(("colour", "channels"), [(RGB, 3), (GREY_ALPHA, 2), (RGBA, 4)])
def test_16_bit_colours_of_png_are_rounded(tmp_path: Path, colour: int, channels: int) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (7, 9, channels))
    samples[0, 0] = 255  # its upper byte is 0, but it is nearer to 1
    read = read_image(write_png(tmp_path / "a.png", samples, 16, colour)).astype(int)
    values = samples / 65535
    alpha = values[:, :, -1:] if channels in (2, 4) else 1
    expected = values[:, :, : 1 if channels == 2 else 3] * alpha + 1 - alpha
    assert np.abs(read - expected * 255).max() <= (0.51 if channels == 3 else 1.26)


@pytest.mark.parametrize(("bits", "colour"), [*((bits, GREY) for bits in (1, 2, 4, 8, 16)), (8, RGB), (16, RGB)])
def test_the_transparent_colour_of_png_is_white(tmp_path: Path, bits: int, colour: int) -> None:
    channels = 3 if colour == RGB else 1
    samples = np.random.default_rng(0).integers(0, 2**bits, (5, 6, channels))
    samples[0, 0], samples[0, 1] = samples[3, 3], samples[3, 3]
    samples[0, 1, 0] ^= 1  # of 16 bits the lower byte alone differs
    key = b"".join(struct.pack(">H", value) for value in samples[3, 3])
    read = read_image(write_png(tmp_path / "a.png", samples, bits, colour, (b"tRNS", key)))
    opaque = (samples != samples[3, 3]).any(axis=2, keepdims=True)
    assert np.abs(read - np.where(opaque, samples / (2**bits - 1), 1) * 255).max() <= 0.51
