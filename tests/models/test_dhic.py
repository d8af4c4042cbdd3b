"""DHIC: its hierarchy, its files, its rate levels, how it starts to train."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from compressai.utils.eval_model.__main__ import inference

from hpcm_spectral.entropy.container import pack, unpack
from hpcm_spectral.errors import CheckpointError, CodingError
from hpcm_spectral.models import DHIC, load_codec, save_codec
from hpcm_spectral.models.fingerprint import fingerprint

SMALL = {
    "channels": [12, 12, 8, 8],
    "latent_channels": [6, 5, 4, 3],
    "encoder_depths": [1, 1, 1, 1],
    "prior_depths_before": [1, 1, 1, 1],
    "prior_depths_after": [1, 1, 1],
    "decoder_depths_before": [1, 1, 1, 1],
    "decoder_depths_after": [1, 1, 1, 1],
    "stem_channels": 8,
    "stem_depth": 1,
}


def small(**changes: Any) -> DHIC:
    """A hierarchy of 30 thousand parameters."""
    torch.manual_seed(0)
    return DHIC(**{**SMALL, **changes})


@pytest.fixture(scope="module")
def codec() -> DHIC:
    codec = small().eval()
    codec.update()
    return codec


def image(height: int, width: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def total_bits(likelihoods: torch.Tensor) -> float:
    return -torch.log2(likelihoods.double()).sum().item()


class TestHierarchy:
    @pytest.mark.parametrize("size", [(64, 64), (100, 70)])
    def test_reconstructions_add_scales(self, codec: DHIC, size: tuple[int, int]) -> None:
        x = image(*size, batch=2)
        records = codec.reconstructions(x, level=30)
        with torch.no_grad():
            out = codec(x, 30)
        assert [record.scale for record in records] == ["1", "2", "3", "4"]
        assert torch.equal(records[-1].x_hat, out["x_hat"])
        spent = [record.bits.sum().item() for record in records]
        assert spent == pytest.approx([total_bits(values) for values in out["likelihoods"].values()], rel=1e-5)

    @pytest.mark.parametrize("scales", [1, 2, 3])
    def test_a_decoder_that_stops_shows_the_partial_reconstruction(self, codec: DHIC, scales: int) -> None:
        x = image(100, 70)
        coded = codec.encode(x, 30)
        shown = codec.decode(coded, scales)
        assert (shown - codec.reconstructions(x, 30)[scales - 1].x_hat).abs().max() < 1e-5
        # What it does not need may be missing.
        strings = {name: string if int(name[1]) <= scales else b"" for name, string in coded.strings.items()}
        assert torch.equal(codec.decode(replace(coded, strings=strings), scales), shown)

    @pytest.mark.parametrize("scales", [1, 3, 5])
    def test_any_number_of_scales(self, scales: int) -> None:
        few = {name: (values * 2)[:scales] for name, values in SMALL.items() if isinstance(values, list)}
        codec = small(**{**few, "prior_depths_after": [1] * (scales - 1)}).eval()
        codec.update()
        assert codec.size_multiple == 8 * 2 ** (scales - 1)
        x = image(50, 41)
        with torch.no_grad():
            out = codec(x, 63)
        assert [latent.y_hat.shape[-1] for latent in out["latents"]] == [
            codec.size_multiple * -(-41 // codec.size_multiple) // 8 // 2**power for power in reversed(range(scales))
        ]
        assert torch.equal(codec.decode(codec.encode(x, 63)), out["x_hat"])

    def test_nothing_is_spent_on_positions_that_lie_in_the_padding(self, codec: DHIC) -> None:
        with torch.no_grad():
            likelihoods = codec(image(65, 9))["likelihoods"]
        for name, rows, columns in (("z1", 2, 1), ("z2", 3, 1), ("z3", 5, 1), ("z4", 9, 2)):
            coded = (likelihoods[name] < 1).any(dim=1)[0]
            assert (coded.any(1).sum().item(), coded.any(0).sum().item()) == (rows, columns), name

    def test_the_coarsest_latent_knows_the_bias_of_its_prior(self, codec: DHIC) -> None:
        first, *others = codec(image(128, 64))["latents"]
        assert first.prior is not None
        assert first.prior.shape == (1, 12, 2, 1)
        assert torch.equal(first.prior[0, :, 1, 0], codec.prior.bias[0, :, 0, 0])
        assert [latent.prior for latent in others] == [None] * 3


class TestFiles:
    @pytest.mark.parametrize("level", [0, 31, 63])
    @pytest.mark.parametrize("size", [(1, 1), (7, 300), (64, 64), (255, 130)])
    def test_decoding_gives_the_reconstruction_of_forward_bit_for_bit(
        self, codec: DHIC, size: tuple[int, int], level: int
    ) -> None:
        x = image(*size)
        with torch.inference_mode():
            expected = codec(x, level)["x_hat"]
        coded = codec.encode(x, level)
        assert (coded.height, coded.width, coded.level) == (*size, level)
        assert list(coded.strings) == ["z1", "z2", "z3", "z4"]
        content = pack(coded, fingerprint(codec))
        assert torch.equal(codec.decode(unpack(content, fingerprint(codec))), expected)

    def test_strings_are_as_long_as_estimated(self) -> None:
        codec, x = small().eval(), image(320, 448)
        with torch.no_grad():
            for latent in codec.prior.latents:
                # Priors wide enough for the values, as training makes them: the estimate of outliers is coarse.
                latent.prior.bias[len(latent.prior.bias) // 2 :] += 1.2
        codec.update()
        for level in (10, 31, 52):
            with torch.inference_mode():
                likelihoods = codec(x, level)["likelihoods"]
            for name, string in codec.encode(x, level).strings.items():
                estimated = total_bits(likelihoods[name]) / 8
                assert abs(len(string) - estimated) < 0.01 * estimated + 64, (level, name)

    def test_other_symbols_are_noticed(self, codec: DHIC) -> None:
        coded = codec.encode(image(64, 64), 40)
        other = codec.encode(1 - image(64, 64), 40)
        for name in coded.strings:
            mixed = replace(coded, strings={**coded.strings, name: other.strings[name]})
            with pytest.raises(CodingError, match="their checksum differs"):
                codec.decode(mixed)

    def test_another_level_or_other_strings_are_refused(self, codec: DHIC) -> None:
        coded = codec.encode(image(64, 64))
        with pytest.raises(CodingError, match="of a level below 64, got 64"):
            codec.decode(replace(coded, level=64))
        with pytest.raises(CodingError, match="must hold the strings z1, z2, z3, z4, got z1, z2"):
            codec.decode(replace(coded, strings=dict(list(coded.strings.items())[:2])))
        with pytest.raises(ValueError, match="level must lie between 0 and 63, got 64"):
            codec.encode(image(64, 64), 64)
        for scales in (0, 5):
            with pytest.raises(ValueError, match=f"scales must lie between 1 and 4, got {scales}"):
                codec.decode(coded, scales)

    def test_compressais_own_evaluation_runs_unchanged(self, codec: DHIC) -> None:
        assert set(inference(codec, image(200, 300)[0])) >= {"psnr-rgb", "bpp"}

    def test_an_exported_codec_is_the_same(self, codec: DHIC, tmp_path: Path) -> None:
        save_codec(codec, tmp_path, training={})
        again = load_codec(tmp_path)
        assert fingerprint(again) == fingerprint(codec)
        assert again.lmbdas == codec.lmbdas
        x = image(70, 70)
        assert again.encode(x, 12) == codec.encode(x, 12)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"channels": [8, 8, 8, 10**6]}, "must have shape"),
            ({"channels": "many"}, "channels a value like"),
            ({"latent_channels": [4, 4]}, "latent_channels must hold a number for each scale"),
            ({"stem_depth": 10**6}, "must hold tensors of every block"),
            ({"levels": 10**6}, "levels must be at most 256"),
            ({"lmbda_max": "high"}, "lmbda_max a value like"),
            ({"gradient_checkpointing": True}, "'gradient_checkpointing' is unknown"),
        ],
    )
    def test_arguments_that_do_not_fit_are_refused(
        self, codec: DHIC, tmp_path: Path, change: dict[str, Any], words: str
    ) -> None:
        save_codec(codec, tmp_path, training={})
        description = json.loads((tmp_path / "codec.json").read_text())
        description["arguments"] |= change
        (tmp_path / "codec.json").write_text(json.dumps(description))
        with pytest.raises(CheckpointError, match=words):
            load_codec(tmp_path)


class TestTraining:
    def test_levels_of_a_batch_are_those_of_its_images(self, codec: DHIC) -> None:
        x = image(64, 64, batch=3)
        levels = torch.tensor([5, 60, 5])
        with torch.no_grad():
            together = codec(x, levels)["x_hat"]
            alone = [codec(x[k : k + 1], int(levels[k]))["x_hat"] for k in range(3)]
        assert (together - torch.cat(alone)).abs().max() < 1e-5

    def test_lmbdas_are_the_published_ones_in_the_unit_of_the_loss(self) -> None:
        lmbdas = small().lmbdas
        assert lmbdas is not None
        assert [255**2 * lmbdas[q] for q in (0, 21, 63)] == pytest.approx([256, 256 * 32 ** (1 / 3), 8192])
        assert small(levels=1).lmbdas is None

    def test_gradients_are_finite_at_every_level_from_the_start(self) -> None:
        codec = small().train()
        for level in range(codec.levels):
            codec.zero_grad()
            out = codec(image(64, 64, batch=1), level)
            rate = sum(-torch.log2(values).sum() for values in out["likelihoods"].values()) / 64**2
            (rate + 8192 * out["x_hat"].square().mean()).backward()
            norm = torch.stack([p.grad.norm() for p in codec.parameters() if p.grad is not None]).norm()
            assert 0 < norm < float("inf"), level

    def test_gradient_checkpointing_changes_no_gradient(self) -> None:
        plain, saving = small().train(), small(gradient_checkpointing=True).train()
        assert saving.arguments == plain.arguments
        for codec in (plain, saving):
            torch.manual_seed(1)
            out = codec(image(64, 64), 20)
            (out["x_hat"].square().mean() - sum(v.log().mean() for v in out["likelihoods"].values())).backward()
        for (name, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
            assert torch.equal(one.grad, other.grad), name

    def test_a_latent_may_have_as_many_channels_as_its_features(self) -> None:
        codec = small(latent_channels=[12, 5, 4, 16]).eval()
        codec.update()
        x = image(64, 64)
        with torch.no_grad():
            assert torch.equal(codec.decode(codec.encode(x, 20)), codec(x, 20)["x_hat"])

    def test_signals_keep_their_size_through_many_blocks(self) -> None:
        """60 blocks at widths of the published codec's proportions, from an image's deviation of 0.3."""
        torch.manual_seed(0)
        depths = {"encoder_depths": [8] * 4, "prior_depths_before": [4] * 4, "decoder_depths_after": [8] * 4}
        codec = DHIC(channels=[48] * 4, latent_channels=[32, 24, 16, 12], stem_channels=48, stem_depth=10, **depths)
        with torch.no_grad():
            out = codec(image(128, 128), 31)
        # Without this care they fall to a hundredth or rise to tens.
        assert 0.1 < out["x_hat"].std() < 2
        for latent in out["latents"]:
            assert 0.7 < latent.y_hat.std() < 10

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"channels": []}, "channels must hold a number for each scale"),
            ({"prior_depths_after": [1, 1, 1, 1]}, "each scale but the finest"),
            ({"encoder_depths": [1, 1, 1, -1]}, "encoder_depths must hold numbers from 0 on"),
            ({"patch": 0}, "patch must be at least 1"),
            ({"levels": 0}, "levels must be at least 1"),
            ({"decoder_depths_after": [1, 1, 1, 10**9]}, "decoder_depths_after must hold numbers up to 100"),
            ({"lmbda_max": 0.001}, "lmbda_max must lie above lmbda_min"),
        ],
    )
    def test_impossible_sizes_are_refused(self, change: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            small(**change)
