import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpcm_spectral.data import as_tensor, read_image, read_size
from hpcm_spectral.data.decode import MAX_MEGAPIXELS
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


@pytest.mark.parametrize("name", ["a.webp", "a.mpo", "a.jpg"])
def test_exif_orientation_of_lossy_formats_and_the_first_picture_of_mpo(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (64, 32))
    image.paste((255, 255, 255), (0, 0, 16, 16))
    options = {"save_all": True, "append_images": [Image.new("RGB", (128, 128))]} if name.endswith("mpo") else {}
    read = read_image(saved(tmp_path, image, name, exif=exif, **options))
    assert read.shape == (64, 32, 3)
    assert read[4, 4].max() < 40
    assert read[4, -4].min() > 215


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_first_frame_of_an_animation(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **options)
    assert read_image(path)[0, 0].tolist() == [255, 0, 0]


def test_the_largest_of_an_icons_pictures(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    pixels[:, :, 3] = 255
    path = saved(tmp_path, Image.fromarray(pixels), "a.ico", sizes=[(16, 16), (64, 64)])
    assert np.array_equal(read_image(path), pixels[:, :, :3])
    assert read_size(path) == (64, 64)


def test_the_transparent_grey_of_a_png_of_4_bits() -> None:
    read = read_image(Path(__file__).parent / "specimens" / "tbbn1g04.png")[:, :, 0]
    with Image.open(Path(__file__).parent / "specimens" / "tbbn1g04.png") as image:
        stored = np.asarray(image)
    assert (stored == 7 * 17).any()
    assert np.array_equal(read, np.where(stored == 7 * 17, 255, stored))


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


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pip install pillow-heif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "pip install pillow-heif"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%stdout) (w) file\n", "EPS"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not recognise"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "a.png").write_bytes(content)  # whatever the name says
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=rf"a\.png .*{named}"):
            read(tmp_path / "a.png")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


def test_the_limit_of_pixels_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, Image.new("1", (1001, 1000)))
    assert read_image(path, max_megapixels=2).shape == (1000, 1001, 3)
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=r"a\.png .*max_megapixels"):
            read(path, max_megapixels=1)
    # Beyond what Pillow allows by itself, whose own limit stays as it was.
    assert 2 * Image.MAX_IMAGE_PIXELS > MAX_MEGAPIXELS * 10**6
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_image(path, max_megapixels=MAX_MEGAPIXELS + 1).shape == (1000, 1001, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000
    for name in ("a.tif", "a.bmp", "a.jpg", "a.gif"):
        with pytest.raises(DataError, match="max_megapixels"):
            read_image(saved(tmp_path, Image.new("L", (1001, 1000)), name), max_megapixels=1)


def test_a_tiny_file_that_claims_to_be_huge_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("L", (1, 1)))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"a\.png .*max_megapixels"):
        read_image(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


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
