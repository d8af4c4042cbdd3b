"""Exported codecs: what is written, and that a downloaded one can neither choose code nor waste memory."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_codec import random_tiny

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models import HPCM, load_codec, save_codec

KEY = "context.net_fine.out.bias"


@pytest.fixture(scope="module")
def codec() -> HPCM:
    return random_tiny(hyper_prior_order="aligned").eval()


@pytest.fixture
def folder(codec: HPCM, tmp_path: Path) -> Path:
    save_codec(codec, tmp_path, training={"steps": 3})
    return tmp_path


def test_an_exported_codec_comes_back_bit_for_bit(codec: HPCM, folder: Path) -> None:
    x = torch.rand(1, 3, 40, 70)
    loaded = load_codec(folder)
    assert (loaded.name, loaded.arguments, loaded.training) == ("hpcm-tiny", codec.arguments, False)
    with torch.no_grad():
        ours, theirs = codec(x), loaded(x)
    assert torch.equal(ours["x_hat"], theirs["x_hat"])
    assert all(torch.equal(ours["likelihoods"][name], theirs["likelihoods"][name]) for name in "yz")


def test_coding_tables_in_a_file_are_not_used(codec: HPCM, folder: Path) -> None:
    tensors = load_file(folder / "codec.safetensors")
    tables = [key for key in tensors if key not in dict(codec.named_parameters())]
    assert "entropy_model._quantized_cdf" in tables
    save_file({**tensors, **{key: torch.full((7,), 3.0) for key in tables}}, folder / "codec.safetensors")
    loaded = load_codec(folder)
    own = random_tiny()
    own.update()
    for name in ("_quantized_cdf", "_cdf_length", "_offset", "scale_table", "scale_bound"):
        assert torch.equal(getattr(loaded.entropy_model, name), getattr(own.entropy_model, name)), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_are_written_as_float32_whatever_precision_trained_them(dtype: torch.dtype, tmp_path: Path) -> None:
    codec = random_tiny().to(dtype)
    save_codec(codec, tmp_path, training={})
    loaded = load_codec(tmp_path)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    assert torch.equal(loaded.g_s[0].weight, codec.g_s[0].weight.float())


def test_a_codec_is_replaced_without_a_moment_in_which_the_wrong_file_describes_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("hpcm_spectral.models.exported.write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        save_codec(random_tiny(1), folder, training={})
    assert [path.name for path in folder.iterdir()] == ["codec.safetensors"]


def test_a_codec_whose_replacement_cannot_be_written_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("hpcm_spectral.models.exported.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_codec(random_tiny(1), folder, training={})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def changed(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda description: {**description, **changes}


def with_argument(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda description: {**description, "arguments": {**description["arguments"], name: value}}


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda description: {key: value for key, value in description.items() if key != name}


DESCRIPTIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another class by path": (changed(_target_="os.system"), "and nothing else, got '_target_'"),
    "a codec that only CompressAI registers": (changed(name="mbt2018-vbr"), "got 'mbt2018-vbr'"),
    "another family": (changed(name="bmshj2018-factorized"), "must hold as arguments N and M"),
    "a class of PyTorch": (changed(name="torch.nn.ReLU"), "names the class 'torch.nn.ReLU', which is no registered"),
    "a list as name": (changed(name=["hpcm-tiny"]), r"got \['hpcm-tiny'\]"),
    "another format": (changed(format=2), "must be of format 1, got 2"),
    "true as format": (changed(format=True), "must be of format 1, got True"),
    "no name": (without("name"), "must hold 'name', which is missing"),
    "no arguments": (without("arguments"), "must hold 'arguments', which is missing"),
    "a list of arguments": (changed(arguments=[40]), r"must hold sizes as arguments, got \[40\]"),
    "text as training": (changed(training="a"), "must hold a group of notes as training, got 'a'"),
    "a list": (lambda _: [1, 2], r"must describe an exported codec, got \[1, 2\]"),
    "another argument": (with_argument("device", "cuda"), "but 'device' is unknown"),
    "text as number": (with_argument("latent_channels", "40"), "as latent_channels a value like 320, got '40'"),
    "a fraction": (with_argument("latent_channels", 40.0), "as latent_channels a value like 320, got 40.0"),
    "true as number": (with_argument("hyper_channels", True), "as hyper_channels a value like 256, got True"),
    "a number as truth": (with_argument("cross_attention", 1), "as cross_attention a value like true, got 1"),
    "nested widths": (with_argument("widths", [16, [32], 64]), r"got \[16, \[32\], 64\]"),
    "a missing depth": (with_argument("depths", [2, 2]), r"as depths a value like \[2, 2, 4\], got \[2, 2\]"),
    "a negative depth": (with_argument("depths", [2, -2, 4]), "depths must not be negative"),
    "an unknown order": (
        with_argument("hyper_prior_order", "../x"),
        "as hyper_prior_order published or aligned, got '../x'",
    ),
    "other sizes": (with_argument("latent_channels", 80), r"must have shape .* got "),
    "impossible sizes": (with_argument("latent_channels", 50), "must be a positive multiple of 40, got 50"),
    "a thousand million channels": (with_argument("latent_channels", 10**9), "fits into memory, got"),
    "more channels than a machine word": (with_argument("hyper_channels", 4 * 10**30), "fits into memory"),
    "gigabytes of channels": (with_argument("widths", [16, 32, 40_000]), r"must have shape .* got "),
    "a thousand million blocks": (with_argument("depths", [2, 2, 10**9]), "got 1000000012 blocks and"),
}


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_description_that_is_not_ours_is_refused(case: str, folder: Path) -> None:
    change, message = DESCRIPTIONS[case]
    path = folder / "codec.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=message) as caught:
        load_codec(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # KiB
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"format": NaN}', "NaN is not a number"),
        (b'{"format": 1, "name": "hpcm-tiny", "arguments": {}, "training": {"a": Infinity}}', "Infinity is not"),
        (b"[" * 200_000, "is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b" " * 2_000_000, "has more than 1048576 bytes"),
    ],
)
def test_a_description_that_is_no_json_is_refused(text: bytes, message: str, folder: Path) -> None:
    (folder / "codec.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_codec(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["codec.json", "codec.safetensors"])
@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe", "broken link", "loop", "device"])
def test_something_else_in_a_files_place_is_refused_at_once(name: str, kind: str, folder: Path) -> None:
    path = folder / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "nothing":
        path.symlink_to({"broken link": folder / "gone", "loop": path, "device": Path("/dev/zero")}[kind])
    with pytest.raises(CheckpointError, match=f"{name} must .*, but there is no such file"):
        load_codec(folder)


def test_links_to_the_files_are_followed(codec: HPCM, folder: Path) -> None:
    """Download caches keep files under other names."""
    for name in ("codec.json", "codec.safetensors"):
        (folder / name).rename(folder / f"blob-{name}")
        (folder / name).symlink_to(folder / f"blob-{name}")
    assert torch.equal(load_codec(folder).g_a[0].weight, codec.g_a[0].weight)


WEIGHTS: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "extra": (lambda t: t.update({"stages.0.weight": torch.ones(1)}), "but a codec's tensors, got 'stages.0.weight'"),
    "missing": (lambda t: t.pop(KEY), f"must hold '{KEY}', which is missing"),
    "misshapen": (lambda t: t.update({KEY: torch.ones(81)}), rf"'{KEY}' must have shape \(80,\) .* got \(81,\)"),
    "half": (lambda t: t.update({KEY: t[KEY].half()}), f"'{KEY}' must hold float32 numbers in .*, got F16"),
    "whole numbers": (lambda t: t.update({KEY: t[KEY].int()}), f"'{KEY}' must hold float32 numbers in .*, got I32"),
    "nan": (lambda t: t[KEY][3].fill_(float("nan")), f"'{KEY}' must hold finite numbers .* got NaN or infinite"),
    "infinity": (lambda t: t[KEY][3].fill_(float("-inf")), f"'{KEY}' must hold finite numbers"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_of_another_codec_are_refused_by_the_tensors_name(case: str, folder: Path) -> None:
    change, message = WEIGHTS[case]
    tensors = load_file(folder / "codec.safetensors")
    change(tensors)
    save_file(tensors, folder / "codec.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_codec(folder)


@pytest.mark.parametrize("length", [0, 4, 100, -100])
def test_weights_that_are_cut_short_are_refused(length: int, folder: Path) -> None:
    path = folder / "codec.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="must hold the codec's weights, but cannot be read"):
        load_codec(folder)
