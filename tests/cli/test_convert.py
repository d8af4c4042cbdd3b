"""Checkpoints to exported codecs, as on the command line."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpcm_spectral.models import HPCM_Base, HPCM_Tiny, load_codec, save_codec
from hpcm_spectral.models.hpcm import published_keys

MANIFEST = json.loads((Path(__file__).parents[1] / "golden/state_dict_manifest.json").read_text())
KEY = "g_s.branch.0.bias"
Run = Callable[..., int]


def hollow(variant: str = "hpcm_base_phi") -> dict[str, Any]:
    """A published state dict that takes no memory: one number, seen as whatever shape the manifest names."""
    return {key: torch.zeros(()).expand(shape) for key, shape in MANIFEST[variant].items()}


@pytest.fixture(scope="module")
def base() -> HPCM_Base:
    torch.manual_seed(0)
    codec = HPCM_Base().eval()
    with torch.no_grad():
        for gain in codec.context.gains:
            gain.uniform_(0.5, 1.5)
    return codec


@pytest.fixture(scope="module")
def published(base: HPCM_Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the published training would have saved on several GPUs."""
    own = dict(base.named_parameters())
    tensors = {published: own[key].detach() for key, published in published_keys(base).items()}
    state = {f"module.{key}": tensors.get(key, torch.zeros(shape)) for key, shape in MANIFEST["hpcm_base"].items()}
    path = tmp_path_factory.mktemp("published") / "lmbda=0.013, best.pth.tar"
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "lr": 1e-4}}, path)
    return path


def test_a_published_checkpoint_becomes_the_same_codec(
    base: HPCM_Base, published: Path, run_convert: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_convert(published, "out=1/new") == 0
    folder = tmp_path / "out=1/new"
    assert sorted(path.name for path in folder.iterdir()) == ["codec.json", "codec.safetensors"]
    description = json.loads((folder / "codec.json").read_text())
    assert description["name"] == "hpcm-base"
    assert description["training"] == {"converted_from": "lmbda=0.013, best.pth.tar"}
    out = capsys.readouterr().out
    assert "published checkpoint" in out
    assert "HPCM_Base, 68,505,299 parameters" in out
    assert "gains" not in out

    x = torch.rand(1, 3, 64, 100)
    with torch.no_grad():
        codec = load_codec(folder)
        ours, theirs = base(x), codec(x)
    assert torch.equal(ours["x_hat"], theirs["x_hat"])
    assert torch.equal(ours["likelihoods"]["y"], theirs["likelihoods"]["y"])
    # It also codes for real: its strings decode to what the forward pass gives.
    assert torch.allclose(codec.decode(codec.encode(x)), theirs["x_hat"], atol=1e-5)


def test_missing_gains_are_said_and_are_one(
    run_convert: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old = {key: value for key, value in hollow().items() if not key.startswith("adaptive_params_list.")}
    torch.save(old, tmp_path / "old.pth.tar")
    assert run_convert("checkpoint=old.pth.tar", "output=out") == 0
    out = capsys.readouterr().out
    assert "HPCM_Base without cross attention, 63,582,419 parameters" in out
    assert "per-step gains are missing" in out
    codec = load_codec(tmp_path / "out")
    assert codec.arguments["cross_attention"] is False
    assert all((gain == 1).all() for gain in codec.context.gains)


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "missing": (lambda s: s.pop(KEY), f"must hold '{KEY}', which is missing."),
    "extra": (lambda s: s.update({"g_s.branch.99.bias": torch.ones(1)}), "must be a published one, got 'g_s.branch.99"),
    "misshapen": (lambda s: s.update({KEY: torch.ones(7)}), f"'{KEY}' must have shape (384,) in a checkpoint of HPCM_"),
    "nan": (lambda s: s.update({KEY: torch.full((384,), float("nan"))}), f"'{KEY}' must hold finite numbers"),
    "no tensor": (lambda s: s.update({KEY: [1.0]}), f"'{KEY}' must have shape (384,) in a checkpoint of HPCM_"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_state_dict_is_refused_by_the_keys_name(
    case: str, run_convert: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    change, sentence = REFUSED[case]
    state = hollow("hpcm_large")
    change(state)
    torch.save({"state_dict": state}, tmp_path / "a.pth.tar")
    assert run_convert("a.pth.tar", "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a.pth.tar cannot be used: ")
    assert sentence in line
    assert not (tmp_path / "out").exists()


class Harmful:
    def __reduce__(self) -> Any:
        return os.system, ("touch harm-done",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"state_dict": {}, "hook": Harmful()}, "posix.system"),
        ({"state_dict": {}, "loss": np.float64(1.5)}, "numpy.*scalar"),
    ],
)
def test_a_file_that_wants_more_than_tensors_is_not_loaded(
    content: dict[str, Any],
    wanted: str,
    legacy: bool,
    run_convert: Run,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    assert run_convert("a.pth", "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a.pth must hold tensors and plain values only, but asks for ")
    assert wanted.split(".*")[0] in line
    assert "weights_only=False" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "a.pth must be a checkpoint of PyTorch, but it is damaged or something else."),
        (b"no checkpoint", "a.pth must be a checkpoint of PyTorch, but it is damaged or something else."),
        (b"PK\x03\x04" + bytes(100), "a.pth must be a checkpoint of PyTorch, but it is damaged or something else."),
        ([1, 2], "a.pth must hold a state dict, got list."),
        ({"state_dict": 3}, "a.pth must hold a state dict, got int."),
        ({}, "a.pth cannot be used: A checkpoint of HPCM_Base without cross attention must hold "),
        ({"state_dict": {"codec.x": torch.ones(1)}}, "a.pth cannot be used: Its codec must be an HPCM, but lacks "),
        ({"state_dict": {"codec.g_a.x.weight": torch.ones(1)}}, "a.pth cannot be used: Its codec must be an HPCM"),
        ({"conv1.weight": torch.ones(1)}, "must be a published one, got 'conv1.weight'."),
    ],
)
def test_other_files_are_refused(
    content: object, sentence: str, run_convert: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if isinstance(content, bytes):
        (tmp_path / "a.pth").write_bytes(content)
    else:
        torch.save(content, tmp_path / "a.pth")
    assert run_convert("a.pth", "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "error: checkpoint is required, got nothing; set checkpoint=VALUE."),
        (["a.pth"], "error: output is required, got nothing; set output=VALUE."),
        (["a.pth", ""], "error: output must name a folder, got nothing; . is the current one."),
        (
            ["", "out"],
            "error: checkpoint must name the folder of an exported codec or of a run, or a checkpoint, got n",
        ),
        (["gone.pth", "out"], "or a checkpoint, got gone.pth, which does not exist."),
        ([".", "out"], "must name a folder with codec.json or checkpoints/best.ckpt, got ., which has neither."),
        (["a.pth", "out", "b"], "error: checkpoint and output must be 2 paths, got 3; quote one that has spaces."),
        (["a.pth", "out", "overwrite=1"], "error: overwrite must be true or false, got 1."),
        (["a.pth", "out", "overwrit=true"], "error: overwrit is not a setting; did you mean overwrite?"),
        (["a.pth", "out", "hyper_prior_order=any"], "hyper_prior_order must be published or aligned"),
        (["a.pth", "out", "hyper_prior_order=aligned"], "hyper_prior_order must be published for a.pth"),
        (["a.pth", "a.pth"], "output must name a folder, but a.pth is a file; choose another."),
    ],
)
def test_a_wrong_command_ends_with_one_sentence(
    arguments: list[str], sentence: str, run_convert: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.save(hollow(), tmp_path / "a.pth")
    assert run_convert(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize("name", ["codec.json", "codec.safetensors"])
def test_a_codec_is_overwritten_only_when_told(
    name: str, run_convert: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.save(hollow(), tmp_path / "a.pth")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).write_text("precious")
    assert run_convert("a.pth", "out") == 2
    assert f"output must be a folder without a codec, but out has {name}; " in capsys.readouterr().err
    assert (folder / name).read_text() == "precious"
    assert run_convert("a.pth", "out", "overwrite=true") == 0
    load_codec(folder)


class TestCheckpointsOfARun:
    @pytest.fixture
    def codec(self) -> HPCM_Tiny:
        torch.manual_seed(1)
        return HPCM_Tiny(hyper_prior_order="aligned")

    @pytest.fixture
    def folder(self, codec: HPCM_Tiny, tmp_path: Path) -> Path:
        """What a run leaves that was stopped after an epoch, as far as a conversion reads it."""
        folder = tmp_path / "run"
        (folder / "checkpoints").mkdir(parents=True)
        state = {f"codec.{key}": value for key, value in codec.state_dict().items()}
        state |= {"skipped_steps": torch.zeros(()), "stages.0.aligners.1.weight": torch.ones(3)}
        torch.save({"state_dict": state, "epoch": 4, "global_step": 30}, folder / "checkpoints/best.ckpt")
        (folder / "config.yaml").write_text(
            "model: {_target_: os.system, hyper_prior_order: aligned}\nloss: {metric: mse, lmbda: 0.013, _target_: x}\n"
        )
        return folder

    @pytest.mark.parametrize("path", ["run", "run/checkpoints/best.ckpt"])
    def test_its_codec_is_exported_with_the_order_that_the_config_says(
        self, path: str, codec: HPCM_Tiny, folder: Path, run_convert: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_convert(path, "out") == 0
        assert "training checkpoint" in capsys.readouterr().out
        out = folder.parent / "out"
        converted = load_codec(out)
        assert (type(converted), converted.arguments) == (HPCM_Tiny, codec.arguments)
        assert all(torch.equal(value, converted.state_dict()[key]) for key, value in codec.named_parameters())
        notes = json.loads((out / "codec.json").read_text())["training"]
        assert notes == {"loss": {"metric": "mse", "lmbda": 0.013}, "epochs": 5, "steps": 30}

    def test_a_checkpoint_that_left_its_run_needs_the_order(
        self, folder: Path, run_convert: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "checkpoints/best.ckpt").rename(folder.parent / "alone.ckpt")
        assert run_convert("alone.ckpt", "out") == 2
        assert "hyper_prior_order must be published or aligned, as in the training of alone.ckpt" in (
            capsys.readouterr().err
        )
        assert run_convert("alone.ckpt", "out", "hyper_prior_order=aligned") == 0
        assert load_codec(folder.parent / "out").arguments["hyper_prior_order"] == "aligned"

    def test_sizes_of_ones_own_are_found(self, folder: Path, run_convert: Run) -> None:
        codec = HPCM_Tiny(depths=(1, 0, 2), widths=(8, 16, 24))
        state = {f"codec.{key}": value for key, value in codec.state_dict().items()}
        torch.save({"state_dict": state}, folder / "checkpoints/last.ckpt")
        assert run_convert("run/checkpoints/last.ckpt", "out") == 0
        arguments = load_codec(folder.parent / "out").arguments
        assert arguments == {**codec.arguments, "hyper_prior_order": "aligned"}

    @pytest.mark.parametrize("text", ["", "model: 3", "[", "model: {hyper_prior_order: up}", "- 1"])
    def test_a_damaged_config_is_named(
        self, text: str, folder: Path, run_convert: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "config.yaml").write_text(text)
        assert run_convert("run", "out") == 2
        assert "run/config.yaml must be the config of the checkpoint's run, but it is damaged." in (
            capsys.readouterr().err
        )

    def test_a_million_blocks_in_a_keys_name_are_refused_at_once(
        self, folder: Path, run_convert: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = folder / "checkpoints/best.ckpt"
        content = torch.load(path, weights_only=True)
        content["state_dict"]["codec.g_a.1000000000.weight"] = content["state_dict"].pop("codec.g_a.11.weight")
        torch.save(content, path)
        assert run_convert("run", "out") == 2
        assert "must hold tensors of every residual block, got 1" in capsys.readouterr().err

    def test_an_exported_codec_of_the_run_comes_first(self, folder: Path, run_convert: Run) -> None:
        torch.manual_seed(2)
        exported = HPCM_Tiny()
        save_codec(exported, folder, training={})
        assert run_convert("run", "out") == 0
        assert torch.equal(load_codec(folder.parent / "out").g_a[0].weight, exported.g_a[0].weight)
