"""Trainings that start from the weights of another codec."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from logged import column
from safetensors.torch import load_file

from hpcm_spectral.build import build_node
from hpcm_spectral.cli.entry import config_folder
from hpcm_spectral.config import plain
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.models import HPCM_Base, HPCM_Large, HPCM_Tiny, load_codec, save_codec
from hpcm_spectral.models.init_from import initialise
from hpcm_spectral.models.registry import build_codec
from hpcm_spectral.models.sources import read_source

Run = Callable[..., int]
GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = config_folder() / "model"


def sessions(folder: Path) -> list[dict]:
    return json.loads((folder / "provenance.json").read_text())["sessions"]


@pytest.fixture
def short_run(small_run: list[str]) -> list[str]:
    return [word for word in small_run if not word.startswith("data.samples")] + ["data.samples_per_epoch=2"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported codec whose weights are nobody's initial ones."""
    torch.manual_seed(77)
    codec = HPCM_Tiny()
    with torch.no_grad():
        for gain in codec.context.gains:
            gain.uniform_(0.5, 1.5)
    folder = tmp_path_factory.mktemp("source")
    save_codec(codec, folder, training={})
    return folder


def test_training_is_bit_identical_to_a_plain_loop_that_starts_from_the_weights(
    source: Path, run_train: Run, short_run: list[str], tmp_path: Path
) -> None:
    """Same losses from the first step on: nothing of the model's own initialisation or of an optimizer is left."""
    folder = tmp_path / "run"
    short_run += ["phase1=off", f"init_from={source}"]
    assert run_train(*short_run, f"hydra.run.dir={folder}") == 0

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = plain(compose("train", overrides=short_run))
    data = build_node(config["data"], "data")
    data.setup("fit")
    torch.manual_seed(config["seed"])
    codec = build_node(config["model"], "model").to(memory_format=torch.channels_last)
    codec.load_state_dict(load_file(source / "codec.safetensors"))
    loss_function = RateDistortionLoss(lmbda=0.013, metric="mse")
    optimizer = torch.optim.Adam(codec.parameters(), lr=1e-4)
    losses = []
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        for x in loader:
            x = x.contiguous(memory_format=torch.channels_last)
            out = codec(x)
            loss = loss_function(out["x_hat"], out["likelihoods"], x).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    assert column(folder, "train/loss") == losses

    (session,) = sessions(folder)
    assert session["initialised_from"]["path"] == str(source)
    assert session["initialised_from"]["kind"] == "exported codec"
    assert len(session["initialised_from"]["sha256"]) == 64
    assert f"initialised from {source} (exported codec of hpcm-tiny)" in (folder / "train.log").read_text()
    assert f"init_from: {source}" in (folder / "config.yaml").read_text()


def test_a_run_that_was_initialised_goes_on_without_the_weights(
    source: Path, run_train: Run, short_run: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another working directory, where the relative path leads nowhere."""
    monkeypatch.chdir(source.parent)
    one_epoch = [*short_run, f"init_from={source.name}"]
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    assert run_train(*one_epoch, "trainer.max_epochs=2", f"hydra.run.dir={straight}") == 0
    assert run_train(*one_epoch, "trainer.max_epochs=1", "resume=auto", f"hydra.run.dir={resumed}") == 0
    monkeypatch.chdir(tmp_path)
    assert run_train("trainer.max_epochs=2", f"resume={resumed}") == 0
    assert column(resumed, "train/loss") == column(straight, "train/loss")
    assert len(column(resumed, "train/loss")) == 4
    assert ["initialised_from" in session for session in sessions(resumed)] == [True, False]
    assert f"not initialised again from {source.name}" in (resumed / "train.log").read_text()


def test_other_weights_cannot_be_put_into_a_run_that_continues(
    source: Path, run_train: Run, short_run: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert run_train(*short_run, "trainer.max_epochs=1", f"hydra.run.dir={folder}") == 0
    capsys.readouterr()
    assert run_train(f"resume={folder}", f"init_from={source}", "trainer.max_epochs=2") == 2
    assert f'error: init_from must stay null to continue the run in {folder}, got "{source}"' in capsys.readouterr().err


def test_an_ms_ssim_model_is_trained_from_an_mse_run_with_both_phases(
    run_train: Run, short_run: list[str], tmp_path: Path
) -> None:
    mse, tuned = tmp_path / "mse", tmp_path / "tuned"
    assert run_train(*short_run, "phase1=off", f"hydra.run.dir={mse}") == 0
    (mse / "codec.json").unlink()  # as if it had been stopped before its end
    changes = ["loss=ms_ssim", "phase2=inter_scale", f"init_from={mse}", "optimizer.lr=1e-30"]
    assert run_train(*short_run, *changes, f"hydra.run.dir={tuned}") == 0
    # At that learning rate nothing moves: what was exported is what was loaded.
    best = torch.load(mse / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    exported = load_codec(tuned)
    assert all(torch.equal(best[f"codec.{key}"], value) for key, value in exported.named_parameters() if value.any())
    assert sessions(tuned)[0]["initialised_from"]["path"] == str(mse / "checkpoints/best.ckpt")
    assert column(tuned, "val/psnr")[0] == pytest.approx(max(column(mse, "val/psnr")), abs=1e-3)
    assert json.loads((tuned / "codec.json").read_text())["training"]["loss"]["metric"] == "ms_ssim"


def test_published_weights_give_the_published_codecs_output(tmp_path: Path) -> None:
    shapes = json.loads((GOLDEN / "state_dict_manifest.json").read_text())["hpcm_base"]
    generator = torch.Generator().manual_seed(0)
    state = {key: 0.02 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    torch.save(state, tmp_path / "published.pth.tar")
    weights = read_source(str(tmp_path / "published.pth.tar"), "init_from")
    codec, expected = HPCM_Base().eval(), build_codec(weights.weights).eval()
    initialise(codec, weights, MODELS)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = codec(x), expected(x)
    assert torch.equal(ours["x_hat"], theirs["x_hat"])
    assert torch.equal(ours["likelihoods"]["y"], theirs["likelihoods"]["y"])
    assert torch.equal(codec.g_s[0].weight, state["g_s.branch.0.weight"])


class TestWeightsThatDoNotFit:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Callable[[str], str]:
        shapes = json.loads((GOLDEN / "state_dict_manifest.json").read_text())

        def save(variant: str) -> str:
            state = {key: torch.zeros(()).expand(shape) for key, shape in shapes[variant].items()}
            torch.save(state, tmp_path / f"{variant}.pth.tar")
            return str(tmp_path / f"{variant}.pth.tar")

        return save

    @pytest.mark.parametrize(
        ("model", "variant", "sentence"),
        [
            ("large", "hpcm_base", r"g_a.11.mixer.conv.weight is missing in .* and \(96, 96, 3, 3\) in the model"),
            ("base", "hpcm_large", r"g_a.11.weight is missing in .* and \(320, 384, 2, 2\) in the model"),
            ("base", "hpcm_base_phi", r"context.attention.0.conv_q.weight is missing in .*"),
        ],
    )
    def test_sizes(self, model: str, variant: str, sentence: str, path: Callable[[str], str]) -> None:
        codec = HPCM_Large() if model == "large" else HPCM_Base()
        before = codec.g_a[0].weight.clone()
        source = read_source(path(variant), "init_from")
        with pytest.raises(ConfigError, match=rf"^init_from must fit .*, but {sentence}.*; choose model={variant}\.$"):
            initialise(codec, source, MODELS)
        assert torch.equal(codec.g_a[0].weight, before)

    def test_the_order_of_the_hyper_prior(self, path: Callable[[str], str]) -> None:
        source = read_source(path("hpcm_base"), "init_from")
        with pytest.raises(
            ConfigError, match=r"^model.hyper_prior_order must be published, .* got aligned; set model\."
        ):
            initialise(HPCM_Base(hyper_prior_order="aligned"), source, MODELS)

    def test_sizes_of_ones_own(self, tmp_path: Path) -> None:
        save_codec(HPCM_Tiny(widths=(8, 16, 24)), tmp_path, training={})
        source = read_source(str(tmp_path), "init_from")
        message = r"g_a.0.weight is \(8, 3, 4, 4\) in .* and \(16, 3, 4, 4\) .* choose model.widths=\[8,16,24\]\.$"
        with pytest.raises(ConfigError, match=message):
            initialise(HPCM_Tiny(), source, MODELS)

    def test_a_checkpoint_without_its_run_cannot_say_the_order(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(logging.getLogger("hpcm_spectral"), "propagate", True)
        tiny = HPCM_Tiny(hyper_prior_order="aligned")
        state = {f"codec.{key}": value for key, value in tiny.state_dict().items()}
        torch.save({"state_dict": state}, tmp_path / "a.ckpt")
        codec = HPCM_Tiny(hyper_prior_order="aligned")
        initialise(codec, read_source(str(tmp_path / "a.ckpt"), "init_from"), MODELS)
        assert torch.equal(codec.g_a[0].weight, tiny.g_a[0].weight)
        assert "a.ckpt has no config.yaml beside it: its hyper_prior_order is taken to be aligned." in caplog.text


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("gone", "init_from must name the folder of an exported codec or of a run, or a checkpoint, got gone, which"),
        ("''", "init_from must name the folder of an exported codec or of a run, or a checkpoint, got nothing."),
        ("true", "init_from must be text, got true."),
        ("SOURCE model=hpcm_base", "means_hyper is (1, 32, 1, 1) in "),
        ("SOURCE model.hyper_prior_order=aligned", "model.hyper_prior_order must be published, for which the weights"),
    ],
)
def test_a_wrong_setting_ends_with_one_sentence_and_leaves_no_folder(
    value: str,
    sentence: str,
    source: Path,
    run_train: Run,
    small_run: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    words = f"init_from={value}".replace("SOURCE", str(source)).split()
    kept = [word for word in small_run if "model=hpcm_base" not in words or not word.startswith("model=")]
    assert run_train(*kept, *words, f"hydra.run.dir={tmp_path / 'run'}") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert sentence in line
    assert not (tmp_path / "run").exists()
