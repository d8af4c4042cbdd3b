"""TIFF files against the arrays that tifffile wrote into them: read right, or refused by name."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from hpcm_spectral.data import read_image, read_size
from hpcm_spectral.errors import DataError

SHAPE = (20, 33)
LAYOUTS: dict[str, dict[str, Any]] = {
    "minisblack": {},
    "miniswhite": {},
    "rgb": {},
    "rgba": {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    "premultiplied": {"photometric": "rgb", "extrasamples": ["assocalpha"]},
    "rgbx": {"photometric": "rgb", "extrasamples": ["unspecified"]},
    "cmyk": {"photometric": "separated"},
    "la": {"photometric": "minisblack", "extrasamples": ["unassalpha"]},
}
CHANNELS = {"minisblack": 1, "miniswhite": 1, "rgb": 3, "la": 2}
# Written in all orders and ways; those not named here may be refused.
MUST_READ = {
    *product(("u1", "u2"), ("minisblack", "rgb", "rgba"), ("contig",)),
    *product(("u1", "u2"), ("rgb", "rgba"), ("separate",)),
    *product(("u1", "f4"), ("minisblack", "miniswhite"), ("contig",)),
    *product(("u1", "u2"), ("cmyk", "rgbx", "premultiplied"), ("contig",)),
    ("u1", "cmyk", "separate"),
    ("u1", "la", "contig"),
}


def written(folder: Path, dtype: str, layout: str, planes: str) -> Iterator[tuple[Path, np.ndarray]]:
    """The same picture in either byte order, in strips and tiles, compressed or not; and its samples, 0 to 1."""
    channels = CHANNELS.get(layout, 4)
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]] / max(SHAPE)
    values = np.stack([0.05 + 0.45 * (x if k % 2 else 1 - x) + 0.4 * y for k in range(channels)], axis=-1)
    if layout == "premultiplied":
        values[:, :, :3] *= values[:, :, 3:]
    kind = np.dtype(dtype)
    scale = 1 if kind.kind == "f" else np.iinfo(kind).max
    samples = np.round(values * scale).astype(kind) if scale != 1 else values.astype(kind)
    options = {"photometric": layout, **LAYOUTS[layout]}
    content = samples
    if channels == 1:
        content = samples[:, :, 0]
    else:
        options["planarconfig"] = planes
        content = samples if planes == "contig" else np.moveaxis(samples, -1, 0)
    ways = product("<>", (None, "deflate"), (None, (16, 16)), (False, True))
    for number, (order, compression, tile, predictor) in enumerate(ways):
        if predictor and (not compression or kind.kind == "f"):
            continue
        more = {"tile": tile} if tile else {}
        path = folder / f"{number}.tif"
        tifffile.imwrite(
            path, content, byteorder=order, compression=compression, predictor=predictor, **options, **more
        )
        yield path, samples / scale


def meant(samples: np.ndarray, layout: str) -> np.ndarray:
    alpha = samples[:, :, -1:]
    colours = {
        "miniswhite": lambda: 1 - samples,
        "rgba": lambda: samples[:, :, :3] * alpha + 1 - alpha,
        "la": lambda: samples[:, :, :1] * alpha + 1 - alpha,
        "premultiplied": lambda: samples[:, :, :3] + 1 - alpha,
        "rgbx": lambda: samples[:, :, :3],
        "cmyk": lambda: (1 - samples[:, :, :3]) * (1 - alpha),
    }
    return np.broadcast_to(colours.get(layout, lambda: samples)(), (*SHAPE, 3)) * 255


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f4"])
def test_values_are_right_or_refused(tmp_path: Path, dtype: str, layout: str, planes: str) -> None:
    # One rounding to 8 bits, more where colours are multiplied; the lower byte of some planes of 16 bits is lost.
    most = {"premultiplied": 3.01, "rgba": 2.01, "cmyk": 2.01}.get(layout, 0.51 if planes == "contig" else 1.01)
    for path, samples in written(tmp_path, dtype, layout, planes):
        refused = ""
        try:
            read = read_image(path)
        except DataError as error:
            refused = str(error)
        if refused:
            assert path.name in refused
            assert (dtype, layout, planes) not in MUST_READ, refused
        else:
            assert np.abs(read - meant(samples, layout)).max() <= most, path


def test_16_bit_colours_are_rounded_and_planes_too(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 65536, (*SHAPE, 3), dtype=np.uint16)
    for options in ({"planarconfig": "contig", "compression": "deflate"}, {"planarconfig": "separate"}):
        content = colours if options["planarconfig"] == "contig" else np.moveaxis(colours, -1, 0)
        tifffile.imwrite(tmp_path / "a.tif", content, photometric="rgb", byteorder=">", **options)
        assert np.abs(read_image(tmp_path / "a.tif") - colours / 257).max() <= 0.5


def write_pages(path: Path, *pages: tuple[tuple[int, int], int, int]) -> Path:
    with tifffile.TiffWriter(path) as file:
        for (height, width), kind, value in pages:
            pixels = np.full((height, width, 3), value, dtype=np.uint8)
            file.write(pixels, subfiletype=kind, photometric="rgb", metadata=None, extratags=[(274, 3, 1, 6, False)])
    return path


def test_a_thumbnail_before_the_picture_is_passed_over(tmp_path: Path) -> None:
    small, page, large = (4, 6), (40, 60), (50, 70)
    for pages, size, value in (
        ([(small, 1, 1), (page, 0, 2), (large, 0, 3)], large, 3),
        ([(page, 0, 1), (small, 1, 2)], page, 1),
        ([(page, 0, 1), (large, 0, 2)], page, 1),  # a document: its first page
    ):
        path = write_pages(tmp_path / "a.tif", *pages)
        read = read_image(path)
        assert read.shape[:2] == size[::-1]  # turned by its orientation
        assert (read == value).all()
        assert sorted(read_size(path)) == sorted(size)
    with pytest.raises(DataError, match=r"b\.tif .*thumbnails"):
        read_size(write_pages(tmp_path / "b.tif", (small, 1, 1), (page, 1, 2)))


def test_colour_maps_of_8_bits_and_grey_of_12(tmp_path: Path) -> None:
    colours = np.zeros((3, 256), dtype=np.uint16)
    colours[:, 1] = 10, 200, 255
    tifffile.imwrite(tmp_path / "a.tif", np.ones((2, 2), np.uint8), photometric="palette", colormap=colours)
    assert (read_image(tmp_path / "a.tif") == [10, 200, 255]).all()
    packed = bytes([0xFF, 0xF8, 0x00, 0x00, 0x00, 0x00])  # 4095, 2048, 0, 0
    tags = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: len(packed)}
    (tmp_path / "b.tif").write_bytes(bare_tiff(tags, packed))
    assert read_image(tmp_path / "b.tif")[0, :, 0].tolist() == [255, 128, 0, 0]


def bare_tiff(tags: dict[int, int], content: bytes) -> bytes:
    tags = {**tags, 273: 8 + 2 + 12 * len(tags) + 4}
    entries = b"".join(
        number.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little") for number, value in tags.items()
    )
    return b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + entries + bytes(4) + content


def test_uncompressed_ycbcr_of_reduced_chroma_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.tif .*YCbCr"):
        tags = {256: 2, 257: 2, 258: 8, 259: 1, 262: 6, 273: 0, 277: 3, 278: 2, 279: 6}
        (tmp_path / "a.tif").write_bytes(bare_tiff(tags, bytes(6)))
        read_image(tmp_path / "a.tif")


def test_lab_becomes_rgb(tmp_path: Path) -> None:
    Image.new("LAB", (3, 2), (204, 128, 128)).save(tmp_path / "a.tif")
    grey = read_image(tmp_path / "a.tif")[0, 0]
    assert np.ptp(grey) <= 1
    assert 195 <= grey[0] <= 201  # L* = 80
