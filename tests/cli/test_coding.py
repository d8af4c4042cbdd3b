"""Compressing and decompressing from the command line: real files, and what is refused."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hpcm_spectral.data.decode import as_tensor, read_image
from hpcm_spectral.errors import CodingError
from hpcm_spectral.evaluation.files import read_hpcm, write_hpcm
from hpcm_spectral.models import HPCM_Tiny, load_codec, save_codec

# Of a file with strings of z and y.
HEADER = 58
SMALL = {"latent_channels": 40, "hyper_channels": 8, "widths": (4, 4, 8), "depths": (0, 0, 0)}


@pytest.fixture(scope="module")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec")
    torch.manual_seed(0)
    save_codec(HPCM_Tiny(**SMALL), folder, training={})
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    for name, size in (("a.png", (40, 30)), ("a.bmp", (17, 1)), ("inner/b.png", (70, 300))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_a_folder_goes_through_files_and_comes_back_as_forward_reconstructs_it(
    run_program: Callable[..., int],
    codec_folder: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    coded, decoded = tmp_path / "coded", tmp_path / "decoded"
    assert run_program("compress", f"codec={codec_folder}", f"input={photos}", f"output={coded}") == 0
    printed = capsys.readouterr().out
    # Two images of the same stem keep their extensions.
    files = sorted(path.relative_to(coded).as_posix() for path in coded.rglob("*.*"))
    assert files == ["a.bmp.hpcm", "a.png.hpcm", "inner/b.hpcm"]
    bpp = 8 * (coded / "inner/b.hpcm").stat().st_size / (70 * 300)
    assert f"{coded / 'inner/b.hpcm'}: {bpp:.4f} bpp, " in printed
    assert "3 images: " in printed

    assert run_program("decompress", f"codec={codec_folder}", f"input={coded}", f"output={decoded}") == 0
    codec = load_codec(codec_folder)
    for name, source in (("a.bmp.png", "a.bmp"), ("a.png.png", "a.png"), ("inner/b.png", "inner/b.png")):
        with torch.inference_mode():
            x_hat = codec(as_tensor(read_image(photos / source))[None])["x_hat"][0]
        expected = (x_hat.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(np.asarray(Image.open(decoded / name)), expected)


def test_transforms_in_bfloat16_are_each_programs_own_choice(
    run_program: Callable[..., int], codec_folder: Path, photos: Path, tmp_path: Path
) -> None:
    pixels = {}
    for encoder in ("float32", "bfloat16"):
        coded = tmp_path / encoder
        arguments = [f"codec={codec_folder}", f"input={photos / 'inner/b.png'}", f"output={coded}"]
        assert run_program("compress", *arguments, f"transforms={encoder}") == 0
        for decoder in ("float32", "bfloat16"):
            arguments = [f"codec={codec_folder}", f"input={coded / 'b.hpcm'}", f"output={coded / decoder}"]
            assert run_program("decompress", *arguments, f"transforms={decoder}") == 0
            pixels[encoder, decoder] = np.asarray(Image.open(coded / decoder / "b.png")).astype(int)
    for encoder in ("float32", "bfloat16"):
        difference = np.abs(pixels[encoder, "float32"] - pixels[encoder, "bfloat16"])
        assert 0 < difference.max() <= 4


def test_one_file_alone(run_program: Callable[..., int], codec_folder: Path, photos: Path, tmp_path: Path) -> None:
    assert run_program("compress", f"codec={codec_folder}", f"input={photos / 'a.png'}", f"output={tmp_path}") == 0
    assert run_program("decompress", f"codec={codec_folder}", f"input={tmp_path / 'a.hpcm'}", f"output={tmp_path}") == 0
    assert Image.open(tmp_path / "a.png").size == (30, 40)


def test_files_that_exist_are_kept_unless_told(
    run_program: Callable[..., int],
    codec_folder: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [f"codec={codec_folder}", f"input={photos / 'a.png'}", f"output={tmp_path}"]
    (tmp_path / "a.hpcm").write_text("precious")
    assert run_program("compress", *arguments) == 2
    assert "has a.hpcm; choose another or set overwrite=true" in capsys.readouterr().err
    assert (tmp_path / "a.hpcm").read_text() == "precious"
    assert run_program("compress", *arguments, "overwrite=true") == 0
    assert (tmp_path / "a.hpcm").read_bytes()[:4] == b"HPCM"


def test_a_damaged_file_among_others_is_named_and_the_others_are_decoded(
    run_program: Callable[..., int],
    codec_folder: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    coded, decoded = tmp_path / "coded", tmp_path / "decoded"
    assert run_program("compress", f"codec={codec_folder}", f"input={photos}", f"output={coded}") == 0
    content = bytearray((coded / "a.png.hpcm").read_bytes())
    content[-1] ^= 1
    (coded / "a.png.hpcm").write_bytes(content)
    assert run_program("decompress", f"codec={codec_folder}", f"input={coded}", f"output={decoded}") == 2
    err = capsys.readouterr().err
    assert f"{coded / 'a.png.hpcm'} must hold what was written, but its checksum differs; the file is damaged." in err
    assert (
        err.strip().splitlines()[-1].startswith("error: All files must be coded, but 1 of 3 were skipped (a.png.hpcm)")
    )
    assert sorted(path.name for path in decoded.rglob("*.*")) == ["a.bmp.png", "b.png"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "/does/not/exist"}, "input must name a file or a folder that exists, got /does/not/exist"),
        ({"codec": "/does/not/exist"}, "/does/not/exist"),
        ({"transforms": "float16"}, "transforms must be float32 or bfloat16, got 'float16'"),
        ({"device": "abacus"}, "device must be cpu or cuda, got 'abacus'"),
        ({"output": ""}, "output must name a folder, got nothing"),
        ({"output": "/proc/nowhere"}, "/proc/nowhere cannot be used"),
        ({"input": None}, "input is required, got nothing"),
        ({"inptu": "x"}, "inptu is not a setting; did you mean input?"),
    ],
)
@pytest.mark.parametrize("program", ["compress", "decompress"])
def test_wrong_settings_end_with_one_sentence(
    program: str,
    changes: dict[str, str | None],
    message: str,
    run_program: Callable[..., int],
    codec_folder: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = {"codec": codec_folder, "input": photos / "a.png", "output": tmp_path / "out", **changes}
    assert run_program(program, *(f"{key}={value}" for key, value in settings.items() if value is not None)) == 2
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_files_damaged_in_any_way_are_refused_or_decode_to_the_original(codec_folder: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    codec = load_codec(codec_folder)
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(1, 3, *size, generator=generator) for size in ((40, 30), (64, 64))]
    paths = [tmp_path / f"{number}.hpcm" for number in range(2)]
    for x, path in zip(images, paths, strict=True):
        write_hpcm(codec, x, path)
    first, second = (path.read_bytes() for path in paths)
    # A splice of two files can be one of them whole.
    originals = [read_hpcm(codec, path) for path in paths]
    torch.manual_seed(1)
    save_codec(HPCM_Tiny(**SMALL), tmp_path, training={})
    write_hpcm(load_codec(tmp_path), images[0], tmp_path / "other.hpcm")
    other = (tmp_path / "other.hpcm").read_bytes()

    def damaged(kind: int) -> bytes:
        content = bytearray(first)
        if kind == 0:
            for _ in range(rng.randint(1, 4)):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[rng.randrange(len(content)) :]
        elif kind == 2:
            place = rng.randrange(len(first))
            content = bytearray(first[:place] + second[place:])
        elif kind == 3:
            content[HEADER:] = rng.randbytes(len(content) - HEADER)
        elif kind == 4:
            content = bytearray(other)
        else:
            content = bytearray(rng.randbytes(rng.randrange(200)))
        return bytes(content)

    path = tmp_path / "damaged.hpcm"
    sentences = []
    for number in range(600):
        path.write_bytes(damaged(number % 6))
        try:
            decoded = read_hpcm(codec, path)
        except CodingError as error:
            sentences.append(str(error))
        else:
            assert any(torch.equal(decoded, original) for original in originals)
    assert len(sentences) > 580
    assert all(text.startswith(f"{path} must ") and "\n" not in text for text in sentences)
