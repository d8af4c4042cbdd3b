"""Colour profiles: converted to sRGB where they say something else, and without a trace where they do not."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from hpcm_spectral.data import TrainingCrops, ValidationImages, read_head, read_image

SPECIMENS = Path(__file__).parent / "specimens"
ADOBE = SPECIMENS / "adobergb_profile.png"
# Of Adobe RGB (1998) to sRGB, both linear.
TO_SRGB = np.array([[1.39836, -0.39836, 0.0], [0.0, 1.0, 0.0], [0.0, -0.04293, 1.04293]])


def meant(values: np.ndarray) -> np.ndarray:
    """What Adobe RGB, 0 to 255, is in sRGB."""
    linear = np.clip((values / 255) ** (563 / 256) @ TO_SRGB.T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def adobe() -> bytes:
    with Image.open(ADOBE) as image:
        return image.info["icc_profile"]


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(tmp_path: Path, mode: str, name: str, **options: object) -> tuple[Path, np.ndarray]:
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(40, 216, (24, 30, bands), dtype=np.uint8)
    image = Image.fromarray(pixels.squeeze())
    image = image if image.mode == mode else Image.frombytes(mode, (30, 24), pixels.tobytes())
    image.save(tmp_path / name, **options)
    return tmp_path / name, pixels


def test_colours_of_a_photograph_are_those_that_its_profile_means() -> None:
    with Image.open(ADOBE) as image:
        stored = np.asarray(image)
    read = read_image(ADOBE)
    error = read - meant(stored)
    # Colours outside sRGB are clipped; black-point and rounding leave the rest.
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 50
    assert 10 * np.log10(255**2 / np.mean((stored - meant(stored)) ** 2)) < 31
    assert read_head(ADOBE).profile == "converted"


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_srgb_profile_changes_nothing(tmp_path: Path, name: str, mode: str) -> None:
    options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    plain, _ = noise(tmp_path, mode, f"plain-{name}", **options)
    tagged, _ = noise(tmp_path, mode, name, icc_profile=srgb(), **options)
    assert np.array_equal(read_image(tagged), read_image(plain))
    assert read_head(tagged).profile == "none"


def test_alpha_palette_and_grey_are_converted_too(tmp_path: Path) -> None:
    path, pixels = noise(tmp_path, "RGBA", "a.png", icc_profile=adobe())
    alpha = pixels[:, :, 3:] / 255
    expected = meant(pixels[:, :, :3]) * alpha + 255 * (1 - alpha)
    assert np.abs(read_image(path) - expected).mean() < 1
    Image.new("P", (3, 3), 1).save(tmp_path / "p.png", icc_profile=adobe())
    grey, pixels = noise(tmp_path, "L", "l.png", icc_profile=adobe())
    assert np.abs(read_image(grey) - meant(np.repeat(pixels, 3, axis=2))).max() < 2
    assert read_head(tmp_path / "p.png").profile == "converted"


def number(value: float, size: int = 4) -> bytes:
    return round(value).to_bytes(size, "big")


def profile(spaces: bytes, name: bytes, content: bytes) -> bytes:
    """A profile that Pillow cannot make: the smallest that the format allows."""
    white = b"XYZ " + bytes(4) + b"".join(number(v * 65536) for v in (0.9642, 1.0, 0.8249))
    start = 128 + 4 + 2 * 12
    table = number(2) + b"wtpt" + number(start) + number(len(white))
    table += name + number(start + len(white)) + number(len(content))
    head = bytearray(128)
    head[0:4] = number(start + len(white) + len(content))
    head[8:12], head[12:24], head[36:40], head[68:80] = b"\x02\x40\0\0", spaces, b"acsp", white[8:]
    return bytes(head) + table + white + content


def gamma_of_grey(gamma: float) -> bytes:
    return profile(b"mntrGRAYXYZ ", b"kTRC", b"curv" + bytes(4) + number(1) + number(gamma * 256, 2) + bytes(2))


def green_cyan() -> bytes:
    """Inks of which the first prints green."""
    identity = b"".join(number(65536 * (i == j)) for i in range(3) for j in range(3))
    lab = b""
    for c, m, y, k in itertools.product((0, 1), repeat=4):
        light = 100 * (1 - k) * (1 - 0.3 * (c + m + y))
        lab += bytes([127, 68, 168] if (c, m, y, k) == (1, 0, 0, 0) else [round(light * 2.55), 128, 128])
    ramp = bytes(range(256))
    return profile(
        b"prtrCMYKLab ", b"A2B0", b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + lab + 3 * ramp
    )


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])  # of which JPEG holds CMYK inverted
def test_inks_are_those_of_the_profile(tmp_path: Path, name: str) -> None:
    for inks, expected in (((0, 0, 0, 0), [255] * 3), ((255, 0, 0, 0), [0, 141, 41])):  # L*a*b* 50, -60, 40
        Image.new("CMYK", (8, 8), inks).save(tmp_path / name, icc_profile=green_cyan())
        assert np.abs(read_image(tmp_path / name) - np.array(expected)).max() <= 3


def test_a_profile_of_grey_keeps_grey_grey(tmp_path: Path) -> None:
    path, pixels = noise(tmp_path, "L", "a.png", icc_profile=gamma_of_grey(1.0))
    read = read_image(path).astype(int)
    assert np.ptp(read, axis=2).max() == 0
    linear = pixels / 255
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read - expected).max() < 1.5
    # It says nothing of colours.
    path, pixels = noise(tmp_path, "RGB", "b.png", icc_profile=gamma_of_grey(1.0))
    assert np.array_equal(read_image(path), pixels)


@pytest.mark.parametrize("content", [b"no profile", adobe()[:200], b"\0" * 500])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK"])
def test_an_unusable_profile_leaves_the_values(tmp_path: Path, content: bytes, mode: str) -> None:
    name = "a.tif" if mode == "CMYK" else "a.png"
    plain, _ = noise(tmp_path, mode, f"plain-{name}")
    tagged, _ = noise(tmp_path, mode, name, icc_profile=content)
    assert np.array_equal(read_image(tagged), read_image(plain))
    assert read_head(tagged).profile == "unusable"


def test_a_set_says_once_what_became_of_profiles(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="hpcm_spectral")
    paths = [noise(tmp_path, "RGB", f"{k}.png", icc_profile=adobe())[0] for k in range(3)]
    paths += [noise(tmp_path, "RGB", "srgb.png", icc_profile=srgb())[0], noise(tmp_path, "RGB", "none.png")[0]]
    paths.append(noise(tmp_path, "RGB", "bad.png", icc_profile=b"nothing")[0])
    crops = TrainingCrops(paths, 16, seed=0)
    assert crops[0].shape == (3, 16, 16)
    ValidationImages(paths)
    said = [record.getMessage() for record in caplog.records]
    assert [text.split(":")[0] for text in said] == ["train", "val"]
    for text in said:
        assert "6 images; 3 converted from their colour profiles to sRGB; 1 with unusable" in text
