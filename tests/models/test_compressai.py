"""CompressAI's codecs behind the protocol: as CompressAI computes them, on any size, into files and back."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from compressai.entropy_models import EntropyBottleneck
from compressai.registry import MODELS
from compressai.zoo import image_models
from safetensors.torch import load_file

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import CheckpointError, CodingError, ConfigError
from hpcm_spectral.evaluation.files import read_hpcm, write_hpcm
from hpcm_spectral.metrics import bits
from hpcm_spectral.models import CompressAI, as_codec, from_published, load_codec, save_codec

WIDTHS = {
    "bmshj2018-factorized": {"N": 8, "M": 12},
    "bmshj2018-factorized-relu": {"N": 8, "M": 12},
    "bmshj2018-hyperprior": {"N": 8, "M": 12},
    "mbt2018-mean": {"N": 8, "M": 12},
    "mbt2018": {"N": 12, "M": 12},
    "cheng2020-anchor": {"N": 12},
    "cheng2020-attn": {"N": 12},
}


def narrow(architecture: str, seed: int = 0) -> Codec:
    """A codec whose latents are large enough to cost something, and whose quantiles fit."""
    torch.manual_seed(seed)
    codec = CompressAI(architecture, **WIDTHS[architecture])
    with torch.no_grad():
        last = [m for m in codec.network.g_a.modules() if isinstance(m, torch.nn.Conv2d)][-1]
        last.weight.mul_(8)
        if hasattr(codec.network, "h_s"):
            # As wide as the latents: values far outside their prior cost other bits than their bounded likelihoods.
            [m for m in codec.network.h_s.modules() if isinstance(m, torch.nn.Conv2d)][-1].bias.fill_(3)
    codec.settle()
    return codec.eval()


@pytest.mark.parametrize("architecture", WIDTHS)
def test_it_computes_what_compressai_computes(architecture: str) -> None:
    codec = narrow(architecture)
    theirs = MODELS[architecture](**WIDTHS[architecture]).eval()
    theirs.load_state_dict(codec.network.state_dict())
    x = torch.rand(2, 3, 64, 128)
    with torch.no_grad():
        ours, expected = codec(x), theirs(x)
    assert torch.equal(ours["x_hat"], expected["x_hat"])
    assert ours["likelihoods"].keys() == expected["likelihoods"].keys()
    assert all(torch.equal(ours["likelihoods"][name], p) for name, p in expected["likelihoods"].items())
    sides = [latent.y_hat.shape[-1] for latent in ours["latents"]]
    assert sides == ([8] if "factorized" in architecture else [2, 8])
    assert all(latent.newly_coded.all() for latent in ours["latents"])


@pytest.mark.parametrize("architecture", WIDTHS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (65, 63), (200, 300)])
def test_files_of_any_size_come_back_and_cost_what_was_estimated(
    architecture: str, height: int, width: int, tmp_path: Path
) -> None:
    codec = narrow(architecture)
    codec.update()
    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 9), (height, width), mode="bilinear")
    image = write_hpcm(codec, smooth, tmp_path / "a.hpcm")
    decoded = read_hpcm(codec, tmp_path / "a.hpcm")
    with torch.inference_mode():
        out = codec(smooth)
    assert decoded.shape == smooth.shape
    # Autoregressive models quantise around means while coding, but around zero in forward.
    if architecture not in ("mbt2018", "cheng2020-anchor", "cheng2020-attn"):
        assert torch.allclose(decoded, out["x_hat"].clamp(0, 1), atol=1e-5)
        for name, values in out["likelihoods"].items():
            estimated = bits(values).item()
            assert abs(8 * len(image.strings[name]) - estimated) <= 0.03 * estimated + 64 * 8


def test_a_file_that_was_damaged_or_is_another_codecs_is_refused(tmp_path: Path) -> None:
    codec, other = narrow("mbt2018-mean"), narrow("mbt2018-mean", seed=1)
    for one in (codec, other):
        one.update()
    path = tmp_path / "a.hpcm"
    image = write_hpcm(codec, torch.rand(1, 3, 70, 90), path)
    with pytest.raises(CodingError, match="must be decoded with the codec that wrote it"):
        read_hpcm(other, path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(content)
    with pytest.raises(CodingError, match="the file is damaged"):
        read_hpcm(codec, path)
    # Were the fingerprint and all checksums of the file to fit, that of the symbols would not.
    with pytest.raises(CodingError, match="must give the symbols that were encoded"):
        other.decode(image)
    with pytest.raises(CodingError, match="must give the symbols that were encoded"):
        codec.decode(replace(image, strings={**image.strings, "y": image.strings["y"][:8]}))


def test_latents_that_are_not_finite_are_not_coded() -> None:
    codec = narrow("bmshj2018-hyperprior")
    codec.update()
    with torch.no_grad():
        codec.network.g_a[0].weight.fill_(float("nan"))
    with pytest.raises(CodingError, match="latents must be finite to be coded"):
        codec.encode(torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize("architecture", WIDTHS)
def test_an_export_holds_compressais_own_state_dict(architecture: str, tmp_path: Path) -> None:
    codec = narrow(architecture)
    save_codec(codec, tmp_path, training={})
    description = json.loads((tmp_path / "codec.json").read_text())
    assert (description["name"], description["arguments"]) == (architecture, WIDTHS[architecture])
    theirs = MODELS[architecture].from_state_dict(load_file(tmp_path / "codec.safetensors")).eval()
    loaded = load_codec(tmp_path)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(theirs(x)["x_hat"], codec(x)["x_hat"])
        assert torch.equal(loaded(x)["x_hat"], codec(x)["x_hat"])
    # And back: what CompressAI saves is a published checkpoint here.
    back = from_published(theirs.state_dict())
    assert (back.name, back.arguments) == (architecture, WIDTHS[architecture])
    with torch.no_grad():
        assert torch.equal(back.eval()(x)["x_hat"], codec(x)["x_hat"])


def test_widths_are_those_of_the_zoo() -> None:
    # Under the name of the ReLU variant the zoo itself builds the other one.
    for architecture in set(WIDTHS) - {"bmshj2018-factorized-relu"}:
        for quality in (1, 6):
            ours, expected = CompressAI(architecture, quality), image_models[architecture](quality=quality)
            assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in expected.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "elic"}, "architecture must be one of bmshj2018-factorized, "),
        ({"architecture": "cheng2020-attn", "quality": 7}, "quality must be 1 to 6 for cheng2020-attn, got 7"),
        ({"architecture": "cheng2020-attn", "M": 7}, "M must be left out for cheng2020-attn"),
        ({"architecture": "mbt2018", "N": 0}, "N must lie between 1 and 4096, got 0"),
    ],
)
def test_what_the_zoo_does_not_have_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompressAI(**settings)


def test_training_leaves_the_quantiles_to_settle_which_makes_them_exact() -> None:
    torch.manual_seed(0)
    codec = CompressAI("bmshj2018-hyperprior", **WIDTHS["bmshj2018-hyperprior"])
    (bottleneck,) = [m for m in codec.modules() if isinstance(m, EntropyBottleneck)]
    assert not bottleneck.quantiles.requires_grad
    optimizer = torch.optim.Adam(codec.parameters(), lr=1e-2)
    for _ in range(3):
        out = codec(torch.rand(2, 3, 64, 64))
        optimizer.zero_grad()
        (sum(bits(p) for p in out["likelihoods"].values()) / 8192 + out["x_hat"].square().mean()).backward()
        assert all(latent.y_hat.requires_grad for latent in out["latents"])
        optimizer.step()
    before = bottleneck.loss().item()
    codec.settle()
    assert before > 100
    assert bottleneck.loss().item() < 0.05 * before
    medians = bottleneck._logits_cumulative(bottleneck.quantiles, stop_gradient=True)[:, 0, 1]
    assert medians.abs().max() < 0.05


class TestOnesOwn:
    """A user's class that nobody registered."""

    @pytest.fixture
    def own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        (tmp_path / "my_hyperprior.py").write_text(
            "from compressai.models import ScaleHyperprior\n"
            "class Sharper(ScaleHyperprior):\n"
            "    def __init__(self, N: int = 8, gain: float = 1.0):\n"
            "        super().__init__(N, 12)\n"
            "        self.gain = gain\n"
            "    def forward(self, x):\n"
            "        out = super().forward(x)\n"
            "        return {**out, 'x_hat': self.gain * out['x_hat']}\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        return "my_hyperprior.Sharper"

    @pytest.fixture
    def folder(self, own: str, tmp_path: Path) -> Path:
        import my_hyperprior

        codec = as_codec(my_hyperprior.Sharper(gain=2.0), {"_target_": own, "gain": 2.0})
        folder = tmp_path / "codec"
        folder.mkdir()
        save_codec(codec, folder, training={})
        return folder

    def test_it_is_exported_by_its_path_and_read_where_that_is_allowed(self, own: str, folder: Path) -> None:
        assert json.loads((folder / "codec.json").read_text())["name"] == own
        codec = load_codec(folder, allow=[own])
        assert codec.network.gain == 2.0
        x = torch.rand(1, 3, 50, 50)
        assert codec.decode(codec.encode(x)).shape == x.shape

    def test_it_is_refused_where_it_is_not(self, own: str, folder: Path) -> None:
        with pytest.raises(
            CheckpointError, match=f"names the class '{own}', which is no registered codec: if you trust"
        ):
            load_codec(folder)
        with pytest.raises(CheckpointError, match="no registered codec"):
            load_codec(folder, allow=["my_hyperprior.Other"])

    def test_it_must_be_importable(self, folder: Path) -> None:
        path = folder / "codec.json"
        path.write_text(path.read_text().replace("my_hyperprior.", "gone_away."))
        with pytest.raises(CheckpointError, match="names the class gone_away.Sharper, which must be importable"):
            load_codec(folder, allow=["gone_away.Sharper"])

    def test_settings_that_json_cannot_hold_are_refused_before_training(self, own: str) -> None:
        import my_hyperprior

        for value in (float("nan"), object(), {"_target_": "a.B"}):
            with pytest.raises(ConfigError, match="model must have plain values as settings to be exported"):
                as_codec(my_hyperprior.Sharper(), {"_target_": own, "gain": value})

    def test_something_else_is_no_codec(self) -> None:
        with pytest.raises(ConfigError, match="must name a Codec or a CompressionModel of CompressAI, got Linear"):
            as_codec(torch.nn.Linear(1, 1), {"_target_": "torch.nn.Linear"})
