"""What a codec's forward pass promises, on the tiny one."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import pytest
import torch
from compressai.registry import MODELS
from tiny_codec import random_tiny

from hpcm_spectral.entropy import get_scale_table
from hpcm_spectral.models import HPCM, HPCM_Base, HPCM_Large, HPCM_Tiny


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("training", [True, False])
def test_contract(training: bool, x: torch.Tensor) -> None:
    with torch.no_grad():
        output = random_tiny().train(training)(x)

    assert set(output) == {"x_hat", "likelihoods", "latents"}
    assert set(output["likelihoods"]) == {"y", "z"}
    assert output["x_hat"].shape == (2, 3, 256, 256)
    assert output["likelihoods"]["y"].shape == (2, 40, 16, 16)
    assert output["likelihoods"]["z"].shape == (2, 32, 4, 4)
    for likelihoods in output["likelihoods"].values():
        assert likelihoods.dtype == torch.float32
        assert likelihoods.min() > 0
        assert likelihoods.max() <= 1
    assert [tuple(latent.y_hat.shape) for latent in output["latents"]] == [(2, 40, s, s) for s in (4, 8, 16)]
    assert [tuple(latent.newly_coded.shape) for latent in output["latents"]] == [(1, 40, s, s) for s in (4, 8, 16)]
    counts = [int(latent.newly_coded.sum()) for latent in output["latents"]]
    assert counts == [40 * 16, 40 * 64 * 3 // 4, 40 * 256 * 3 // 4]
    assert sum(counts) == 40 * 256


def test_other_sizes_are_padded_and_cropped_again() -> None:
    model = random_tiny().eval()
    # Less than a position of y on each side, which would be left out.
    x = torch.rand(1, 3, 496, 232)
    framed = torch.zeros(1, 3, 512, 256)
    framed[..., 8:504, 12:244] = x
    with torch.no_grad():
        output, whole = model(x), model(framed)

    assert output["x_hat"].shape == (1, 3, 496, 232)
    assert torch.equal(output["x_hat"], whole["x_hat"][..., 8:504, 12:244])
    assert torch.equal(output["likelihoods"]["y"], whole["likelihoods"]["y"])
    assert output["likelihoods"]["y"].shape == (1, 40, 32, 16)


def test_evaluation_is_deterministic_and_training_is_noisy(x: torch.Tensor) -> None:
    model = random_tiny()
    with torch.no_grad():
        evaluated = [model.eval()(x) for _ in range(2)]
        trained = [model.train()(x) for _ in range(2)]

    for latent in ("y", "z"):
        assert torch.equal(*(output["likelihoods"][latent] for output in evaluated))
        assert not torch.equal(*(output["likelihoods"][latent] for output in trained))
    # The noise is for the likelihoods only: what is decoded is rounded in training too.
    for output in trained:
        assert torch.equal(output["x_hat"], evaluated[0]["x_hat"])


def test_gradient_checkpointing_changes_no_gradient(x: torch.Tensor) -> None:
    plain, saving = random_tiny(), random_tiny(gradient_checkpointing=True)
    assert saving.arguments == plain.arguments
    kept = []
    for model in (plain.train(), saving.train()):
        torch.manual_seed(1)
        graph = torch.autograd.graph
        sizes: dict[int, int] = {}  # by address, of what is kept for the backward pass
        with graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.update({t.data_ptr(): t.nbytes}) or t, lambda t: t):
            out = model(x[:1])
        kept.append(sum(sizes.values()))
        (out["x_hat"].square().mean() - sum(v.log().mean() for v in out["likelihoods"].values())).backward()
    for (name, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name
    assert kept[1] < kept[0] / 2


def test_a_batch_is_its_images_one_by_one(x: torch.Tensor) -> None:
    model = random_tiny().eval()
    with torch.no_grad():
        together, alone = model(x), model(x[1:])

    assert torch.allclose(together["x_hat"][1:], alone["x_hat"], atol=1e-4)


def test_finer_scales_hold_the_coarser_ones_values(x: torch.Tensor) -> None:
    with torch.no_grad():
        coarse, middle, fine = random_tiny().eval()(x)["latents"]

    assert coarse.y_hat.abs().max() > 1, "not all zero, or this test shows nothing"
    for finer, coarser in ((middle, coarse), (fine, middle)):
        inherited = ~finer.newly_coded.expand_as(finer.y_hat)
        for image, mask, small in zip(finer.y_hat, inherited, coarser.y_hat, strict=True):
            assert torch.equal(image[mask].sort().values, small.flatten().sort().values)


@pytest.mark.parametrize("cross_attention", [True, False])
def test_gradients_reach_every_parameter(cross_attention: bool, x: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = HPCM_Tiny(cross_attention=cross_attention).train()  # as a user's training starts

    output = model(x)
    bits = sum(-torch.log2(likelihoods).sum() for likelihoods in output["likelihoods"].values())
    (bits / x[:, 0].numel() + 255**2 * 0.013 * (output["x_hat"] - x).square().mean()).backward()

    without = [name for name, p in model.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert without == []
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_latents_carry_gradients_back_to_the_encoder(x: torch.Tensor) -> None:
    model = random_tiny().train()

    for latent in model(x[:1])["latents"]:
        (gradient,) = torch.autograd.grad(latent.y_hat.square().sum(), model.g_a[0].weight, retain_graph=True)
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("training", [True, False])
def test_bf16_autocast(training: bool, x: torch.Tensor) -> None:
    model = random_tiny().train(training)

    with torch.autocast("cpu", torch.bfloat16):
        output = model(x[:1])
    sum(-torch.log2(likelihoods).sum() for likelihoods in output["likelihoods"].values()).backward()

    for likelihoods in output["likelihoods"].values():
        assert likelihoods.dtype == torch.float32
        assert likelihoods.isfinite().all()
    assert all(latent.y_hat.dtype == torch.float32 for latent in output["latents"])
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_channels_last_gives_the_same(x: torch.Tensor) -> None:
    # A memory order in which some reshaping of the coding order goes wrong would show in every value.
    model = random_tiny().double().eval()
    x = x.double()
    with torch.no_grad():
        y, prior = model.g_a(x), torch.randn(2, 80, 16, 16, dtype=torch.float64)
        plain = model.context.float()(prior.float(), _Truncating(), y.float())
        other = model.context.to(memory_format=torch.channels_last)(
            prior.float().to(memory_format=torch.channels_last),
            _Truncating(),
            y.float().to(memory_format=torch.channels_last),
        )

    for a, b in zip(plain, other, strict=True):
        assert torch.allclose(a.y_hat, b.y_hat, atol=1e-4)


class _Truncating:
    """Codes continuously, so that no rounding can flip: half of the distance to the mean."""

    def code(
        self, y: torch.Tensor | None, scales: torch.Tensor, means: torch.Tensor, inside: torch.Tensor | None = None
    ) -> torch.Tensor:
        assert y is not None
        return (y - means) / 2 + means + scales / 100


def test_channels_last_of_the_whole_codec(x: torch.Tensor) -> None:
    model = random_tiny().eval()
    with torch.no_grad():
        plain = model(x)
        other = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))

    close = (plain["latents"][-1].y_hat - other["latents"][-1].y_hat).abs() < 1e-3
    assert close.float().mean() > 0.999
    assert (plain["x_hat"] - other["x_hat"]).abs().median() < 1e-5


def test_registered_for_compressai() -> None:
    assert MODELS["hpcm"] is HPCM
    assert MODELS["hpcm-base"] is HPCM_Base
    assert MODELS["hpcm-large"] is HPCM_Large
    assert MODELS["hpcm-tiny"] is HPCM_Tiny


class TestStateDict:
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"cross_attention": False},
            {"depths": (1, 0, 3), "context_depths_coarse": (0, 2), "context_depths_fine": (2, 0)},
            {"latent_channels": 80, "hyper_channels": 16, "widths": (8, 24, 12)},
        ],
    )
    def test_shows_all_sizes(self, arguments: dict) -> None:
        model = random_tiny(**arguments)

        rebuilt = HPCM.from_state_dict(model.state_dict())

        assert rebuilt.arguments == model.arguments
        for key, value in model.state_dict().items():
            assert torch.equal(rebuilt.state_dict()[key], value), key

    def test_does_not_show_the_order_of_the_hyper_prior(self, x: torch.Tensor) -> None:
        model = random_tiny(hyper_prior_order="aligned").eval()

        rebuilt = HPCM.from_state_dict(model.state_dict(), hyper_prior_order="aligned").eval()

        with torch.no_grad():
            assert torch.equal(rebuilt(x[:1])["x_hat"], model(x[:1])["x_hat"])

    def test_loads_strictly_into_a_fresh_model(self) -> None:
        model = HPCM_Tiny()

        result = torch.nn.Module.load_state_dict(model, random_tiny(3).state_dict(), strict=True)

        assert (result.missing_keys, result.unexpected_keys) == ([], [])

    def test_with_filled_coding_tables(self) -> None:
        model = random_tiny()
        model.entropy_model.update_scale_table(get_scale_table())

        rebuilt = HPCM.from_state_dict(model.state_dict())

        assert torch.equal(rebuilt.entropy_model.quantized_cdf, model.entropy_model.quantized_cdf)
        assert rebuilt.entropy_model.scale_table.tolist() == pytest.approx(get_scale_table())


def test_update_makes_hpcms_own_coding_tables() -> None:
    """CompressAI's ``update()`` without arguments would take its own scales, 64 of them from 0.11 to 256."""
    model = HPCM_Tiny()

    model.update()

    assert model.entropy_model.scale_table.tolist() == pytest.approx(get_scale_table())
    assert len(model.entropy_model.quantized_cdf) == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_channels": 60}, "latent_channels must be a positive multiple of 40, got 60."),
        ({"latent_channels": 0}, "latent_channels must be a positive multiple of 40, got 0."),
        ({"hyper_channels": 30}, "hyper_channels must be a positive multiple of 4, got 30."),
        ({"widths": (16, 30, 64)}, "widths must be a positive multiple of 4, got 30."),
        ({"widths": (16, 32)}, "widths must hold 3 numbers, got 2: [16, 32]."),
        ({"depths": (1, 2, -1)}, "depths must not be negative, got [1, 2, -1]."),
        ({"depths": (1,)}, "depths must hold 3 numbers, got 1: [1]."),
        ({"context_depths_coarse": (1,)}, "context_depths_coarse must hold 2 numbers, got 1: [1]."),
        ({"context_depths_fine": (1, -2)}, "context_depths_fine must not be negative, got [1, -2]."),
    ],
)
def test_impossible_sizes(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=".") as error:
        HPCM_Tiny(**arguments)

    assert str(error.value) == message
