"""Files that people have: names of any kind, copies, images that fail, folders of everything."""

import csv
import json
import os
import resource
import shutil
import signal
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hpcm_spectral.data import list_images
from hpcm_spectral.models import HPCM_Tiny, load_codec, save_codec
from hpcm_spectral.names import target_names

SMALL = {"latent_channels": 40, "hyper_channels": 8, "widths": (4, 4, 8), "depths": (0, 0, 0)}
LATIN = os.fsdecode(b"caf\xe9")
ODD = (
    LATIN,
    "two\nlines",
    "a,b",
    "Ba$$in",
    "-x_y",
    "\x1b[31mred",
    "\u202egpj",
    "[x]*?",
    "x" * 244,
    "y" * 251,
    "é",
    unicodedata.normalize("NFD", "é"),
)


@pytest.fixture(scope="module")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec") / LATIN
    folder.mkdir()
    torch.manual_seed(0)
    save_codec(HPCM_Tiny(**SMALL), folder, training={})
    return folder


def write(folder: Path, *names: str, size: tuple[int, int] = (20, 10)) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        # Pillow chooses the format by the name.
        Image.new("RGB", size, (9, 99, 199)).save(folder / name)
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_names_of_any_kind_go_through_all_programs(
    run_program: Callable[..., int], codec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write(tmp_path / "photos", *(f"{name}.png" for name in ODD))
    coded, decoded, out = tmp_path / "coded", tmp_path / "decoded", tmp_path / "out"
    codec = f'codec="{codec_folder}"'
    assert run_program("compress", codec, f"input={photos}", f"output={coded}") == 0
    assert run_program("decompress", codec, f"input={coded}", f"output={decoded}") == 0
    assert run_program("evaluate", codec, f"images={photos}", f"output={out}") == 0
    assert len(files(coded)) == len(files(decoded)) == len(list((out / "bitstreams").rglob("*.hpcm"))) == len(ODD)
    printed = capsys.readouterr().out
    assert "caf\\xe9.hpcm: " in printed
    assert "\x1b" not in printed
    with (out / "per_image.csv").open(newline="", encoding="utf-8") as file:
        names = [row["image"] for row in csv.DictReader(file)]
    assert {"caf\\xe9.png", "two\\nlines.png", "a,b.png", "Ba$$in.png"} <= set(names)
    assert len(names) == len(ODD)
    # Their own pictures are no images of anybody's.
    (tmp_path / "out" / "more.png").symlink_to(photos / "a,b.png")
    assert set(list_images(tmp_path)) == {*photos.iterdir(), *decoded.iterdir()}


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.jpg", "a.png.tif"),
        ("A.png", "a.png", "a.jpg"),
        ("é.png", unicodedata.normalize("NFD", "é.png")),
        ("a.hpcm/b.png", "a.png", "A.hpcm/b.png"),
        ("x" * 251 + ".png", "x" * 251 + ".jpg", "x" * 250 + ".png"),
        ("a.png", "a.png-2.png", "A.png", "A.PNG", "a.PNG"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_new_names_are_no_others_on_any_disk(names: tuple[str, ...], whole: bool) -> None:
    targets = [path.as_posix() for path in target_names([Path(name) for name in names], ".hpcm", whole=whole)]
    keys = [unicodedata.normalize("NFC", target).casefold() for target in targets]
    assert len(set(keys)) == len(names)
    assert not {str(parent).casefold() for target in targets for parent in Path(target).parents} & set(keys)
    assert all(len(part.encode()) <= 255 for target in targets for part in target.split("/"))
    assert all(target.endswith(".hpcm") for target in targets)


def test_many_names_take_no_time() -> None:
    started = time.process_time()
    target_names([Path(f"{number}.png") for number in range(8000)], ".hpcm")
    target_names([Path(f"{'x' * 250}{number}.png") for number in range(2000)], ".hpcm")
    assert time.process_time() - started < 3  # 13 s when each was looked for among all


def test_copies_of_one_name_become_files_of_their_own(
    run_program: Callable[..., int], codec_folder: Path, tmp_path: Path
) -> None:
    photos = write(tmp_path / "photos", "a.png", "a.jpg", "a.png.tif", "A.png")
    arguments = [f'codec="{codec_folder}"', f"input={photos}"]
    assert run_program("compress", *arguments, f"output={tmp_path / 'coded'}") == 0
    assert len(files(tmp_path / "coded")) == 4
    for copy in ("a.HPCM", "b.hpcm"):
        shutil.copy(tmp_path / "coded" / "a.jpg.hpcm", tmp_path / "coded" / copy)
    shutil.copy(tmp_path / "coded" / "b.hpcm", tmp_path / "coded" / ".hidden.hpcm")
    os.mkfifo(tmp_path / "coded" / "pipe.hpcm")
    decoded = [f'codec="{codec_folder}"', f"input={tmp_path / 'coded'}", f"output={tmp_path / 'decoded'}"]
    assert run_program("decompress", *decoded) == 0
    assert len(files(tmp_path / "decoded")) == 6
    # An image by another name must not be replaced by itself coded.
    shutil.copy(photos / "a.png", tmp_path / "b.hpcm")
    itself = [f"input={tmp_path / 'b.hpcm'}", f"output={tmp_path}", "overwrite=true"]
    assert run_program("compress", f'codec="{codec_folder}"', *itself) == 2
    assert Image.open(tmp_path / "b.hpcm").format == "PNG"
    os.mkfifo(tmp_path / "pipe.png")
    assert run_program("compress", arguments[0], f"input={tmp_path / 'pipe.png'}", f"output={tmp_path / 'p'}") == 2


def test_an_image_larger_than_memory_is_skipped_by_name(
    run_program: Callable[..., int], codec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write(tmp_path / "photos", "a.png", "c.png")
    write(photos, "b.png", size=(6000, 6000))
    coded, out = tmp_path / "coded", tmp_path / "out"
    codec = f'codec="{codec_folder}"'
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20, before[1]))
    try:
        statuses = [
            run_program("compress", codec, f"input={photos}", f"output={coded}"),
            run_program("evaluate", codec, f"images={photos}", f"output={out}"),
        ]
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert statuses == [2, 2]
    assert files(coded) == {"a.hpcm", "c.hpcm"}
    err = capsys.readouterr().err
    assert "b.png must fit into memory" in err
    assert "alloc" not in err
    assert "Traceback" not in err
    assert "1 of 3 were skipped (b.png)" in err
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert (content["meta"]["images"]["count"], content["meta"]["images"]["skipped"]) == (2, 1)
    assert any("1 image was skipped" in remark for remark in content["meta"]["remarks"])
    assert files(out / "bitstreams") == {"café/a.png.hpcm".replace("é", "\\xe9"), "caf\\xe9/c.png.hpcm"}


def test_a_codec_that_scores_nothing_does_not_take_the_others_with_it(
    run_evaluate: Callable[..., int], codec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write(tmp_path / "photos", "a.png", "b.png")
    bad = load_codec(codec_folder)
    with torch.no_grad():
        bad.g_a[-1].weight.fill_(3e38)
    (tmp_path / "bad").mkdir()
    save_codec(bad, tmp_path / "bad", training={})
    assert run_evaluate(f'codec=[bad,"{codec_folder}"]', f"images={photos}", "output=out") == 2
    content = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [codec["label"] for codec in content["meta"]["codecs"]] == ["caf\\xe9"]
    assert content["meta"]["images"]["count"] == 2
    assert "bad: no image could be scored" in capsys.readouterr().out
    # Alone, it leaves nothing.
    assert run_evaluate("codec=bad", f"images={photos}", "output=none/of/it") == 2
    assert not (tmp_path / "none").exists()
    assert "error: none/of/it/bitstreams/bad/a.png.hpcm: The codec's latents" in capsys.readouterr().err


def test_an_interrupted_evaluation_keeps_what_it_has_measured(
    run_evaluate: Callable[..., int], codec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(40):
        noise = Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8))
        noise.save(tmp_path / "photos" / f"{number}.png")
    table = tmp_path / "out" / "per_image.csv"

    def interrupt() -> None:
        while not table.exists() and main.is_alive():
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGINT)

    main = threading.main_thread()
    threading.Thread(target=interrupt, daemon=True).start()
    arguments = [f'codec="{codec_folder}"', "images=photos", "output=out"]
    assert run_evaluate(*arguments) == 130
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert 0 < len(rows) < 40
    assert all(float(row["psnr"]) > 0 for row in rows)
    assert f"keeps the {len(rows)} scores" in capsys.readouterr().err
    # Nothing of it is replaced.
    assert run_evaluate(*arguments) == 2
    assert len(table.read_text(encoding="utf-8").splitlines()) == 1 + len(rows)


def test_files_that_are_all_refused_leave_no_folder(
    run_program: Callable[..., int], codec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "coded" / "in").mkdir(parents=True)
    for name in ("a.hpcm", "in/b.hpcm"):
        (tmp_path / "coded" / name).write_bytes(b"no")
    output = tmp_path / "new" / "folder"
    assert run_program("decompress", f'codec="{codec_folder}"', f"input={tmp_path / 'coded'}", f"output={output}") == 2
    assert "2 of 2 were skipped (a.hpcm, in/b.hpcm)" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
