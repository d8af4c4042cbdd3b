from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpcm_spectral.data import as_tensor, read_image, read_size
from hpcm_spectral.errors import DataError


def saved(tmp_path: Path, image: Image.Image, name: str = "a.png", **options: object) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_colour_is_exact(tmp_path: Path) -> None:
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    assert np.array_equal(read_image(saved(tmp_path, Image.fromarray(pixels))), pixels)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    pixels = np.arange(20, dtype=np.uint8).reshape(5, 4)
    read = read_image(saved(tmp_path, Image.fromarray(pixels)))
    assert np.array_equal(read, np.stack([pixels] * 3, axis=2))


def test_bilevel_spans_black_to_white(tmp_path: Path) -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert read_image(saved(tmp_path, image))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    pixels = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    read = read_image(saved(tmp_path, Image.fromarray(pixels), name))
    assert read[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    assert read.shape == (1, 6, 3)


def test_big_endian_16_bit_grey_keeps_its_byte_order(tmp_path: Path) -> None:
    image = Image.frombytes("I;16B", (2, 1), bytes([0x01, 0x01, 0xFF, 0xFF]))
    assert read_image(saved(tmp_path, image, "a.tif"))[0, :, 0].tolist() == [1, 255]


def test_32_bit_grey_beyond_16_bits_is_white(tmp_path: Path) -> None:
    pixels = np.array([[-5, 65535, 1 << 30]], dtype=np.int32)
    assert read_image(saved(tmp_path, Image.fromarray(pixels), "a.tif"))[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize(
    ("values", "expected"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([-1.0, 100.4, 300.0], [0, 100, 255])]
)
def test_float_grey_spans_one_or_255(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert read_image(saved(tmp_path, image, "a.tif"))[0, :, 0].tolist() == expected


def test_float_grey_with_nan_reads(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[np.nan, 1.0]], dtype=np.float32))
    assert read_image(saved(tmp_path, image, "a.tif"))[0, :, 0].tolist() == [0, 255]


def test_palette_with_transparency_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    read = read_image(saved(tmp_path, image, transparency=bytes([255, 0])))
    assert read[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_alpha_is_laid_over_white_and_opaque_pixels_stay(tmp_path: Path) -> None:
    pixels = np.zeros((1, 256, 4), dtype=np.uint8)
    pixels[0, :, :3] = np.arange(256)[:, None]
    pixels[0, :, 3] = 255
    opaque = read_image(saved(tmp_path, Image.fromarray(pixels)))
    assert np.array_equal(opaque, pixels[:, :, :3])
    pixels[0, :, 3] = 0
    assert (read_image(saved(tmp_path, Image.fromarray(pixels))) == 255).all()
    pixels[0, 0] = (0, 0, 0, 128)
    assert read_image(saved(tmp_path, Image.fromarray(pixels)))[0, 0].tolist() == [127] * 3


def test_grey_with_alpha(tmp_path: Path) -> None:
    image = Image.new("LA", (2, 1), (7, 255))
    image.putpixel((1, 0), (7, 0))
    assert read_image(saved(tmp_path, image))[0].tolist() == [[7] * 3, [255] * 3]


def test_cmyk(tmp_path: Path) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert read_image(saved(tmp_path, image, "a.tif"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_exif_orientation_is_applied(tmp_path: Path, name: str, dtype: type) -> None:
    pixels = (np.arange(6).reshape(2, 3) * (257 if dtype is np.uint16 else 1)).astype(dtype)
    exif = Image.Exif()
    exif[0x0112] = 6  # Shown turned clockwise by a quarter.
    path = saved(tmp_path, Image.fromarray(pixels), name, exif=exif)
    expected = np.rot90(np.arange(6).reshape(2, 3), k=-1)
    assert np.array_equal(read_image(path)[:, :, 0], expected)
    assert sorted(read_size(path)) == [2, 3]


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


def test_broken_exif_reads_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = saved(tmp_path, Image.new("RGB", (8, 8)), "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert read_image(path).shape == (8, 8, 3)
    assert not recwarn.list


@pytest.mark.parametrize("keep", [0, 20, 60])
def test_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = saved(tmp_path, Image.effect_noise((40, 40), 50))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"a\.png") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_missing_file_and_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png .*No such file"):
        read_image(tmp_path / "gone.png")
    (tmp_path / "note.png").write_text("no image")
    with pytest.raises(DataError, match=r"note\.png .*does not recognise"):
        read_size(tmp_path / "note.png")


def test_decompression_bomb_is_refused_but_a_large_photo_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    path = saved(tmp_path, Image.new("L", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9000)
    assert read_image(path).shape == (100, 100, 3)
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(DataError, match=r"a\.png .*bomb"):
        read_image(path)


def test_tensor_spans_zero_to_one_and_leaves_the_pixels() -> None:
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[0, 1, 2] = 255
    tensor = as_tensor(pixels)
    assert tensor.shape == (3, 2, 3)
    assert tensor[2, 0, 1] == 1
    assert tensor.sum() == 1
    tensor.fill_(0.5)
    assert pixels.sum() == 255
