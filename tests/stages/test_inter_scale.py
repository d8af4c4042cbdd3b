"""Phase 2: bounded whatever the latents, and every option does what it says."""

import pytest
import pywt
import torch
from scale_latents import hierarchy, prepared

from hpcm_spectral import InterScaleRegularizer
from hpcm_spectral.codec import ScaleLatent
from hpcm_spectral.errors import UserError
from hpcm_spectral.stages.aligner import Aligner

EVERY_BOUNDED = [
    {"distance": distance, "aligner": aligner, "downsample": downsample}
    for distance in ("l2", "l1", "cosine")
    for aligner in ("adversarial", "joint", "frozen")
    for downsample in ("dwt", "strided_conv", "average")
]


@pytest.mark.parametrize("arguments", EVERY_BOUNDED, ids=lambda a: "-".join(map(str, a.values())))
@pytest.mark.parametrize("scales", [(1, 1, 1), (1e4, 1, 1e-3), (1e-2, 1e20, 1e5), (0, 0, 0)])
def test_the_default_normalisation_bounds_each_pairs_reward_by_delta(
    arguments: dict[str, str], scales: tuple[float, ...]
) -> None:
    latents = hierarchy(*scales)
    stage = prepared(latents, delta=10.0, **arguments)
    with torch.no_grad():
        for parameter in stage.parameters():
            parameter.mul_(100)
    term = stage(latents, 0.0)[0]
    assert -20.0 * (2 if arguments["distance"] == "cosine" else 1) <= term.item() <= 0.0
    term.backward()
    assert all(torch.isfinite(latent.y_hat.grad).all() for latent in latents)


@pytest.mark.parametrize("arguments", EVERY_BOUNDED, ids=lambda a: "-".join(map(str, a.values())))
def test_every_form_pulls_at_codec_and_aligner_once_there_is_something_to_explain(arguments: dict[str, str]) -> None:
    latents = hierarchy(size=8)
    # Half of every coarser latent repeats the finer one.
    for coarse, fine in ((1, 2), (0, 1)):
        with torch.no_grad():
            pooled = torch.nn.functional.avg_pool2d(latents[fine].y_hat * latents[fine].newly_coded, 2)
            latents[coarse].y_hat[:, :4] += 2 * pooled[:, :4]
    stage = prepared(latents, **arguments, steps=20)
    stage(latents, 0.0)[0].backward()
    assert all(latent.y_hat.grad.abs().max() > 1e-7 for latent in latents)
    for parameter in stage.parameters():
        assert (parameter.grad is None) == (arguments["aligner"] == "frozen")
        assert parameter.grad is None or parameter.grad.abs().max() > 1e-6


def test_what_a_channel_always_says_explains_nothing_and_earns_nothing() -> None:
    latents = hierarchy(dtype=torch.float64)
    stage = prepared(latents, steps=5)
    before = stage(latents, 0.0)[0].item()
    shifted = []
    for latent in latents:
        constants = 3 * torch.randn(1, latent.y_hat.shape[1], 1, 1, dtype=torch.float64)
        shifted.append(ScaleLatent(latent.y_hat + constants, latent.newly_coded))
    assert stage(shifted, 0.0)[0].item() == pytest.approx(before, rel=1e-9)


def test_a_finer_latent_that_predicts_the_coarser_one_leaves_no_distance() -> None:
    fine = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    weight = torch.randn(5, 12, dtype=torch.float64)
    low, details = pywt.dwt2(fine.numpy(), "db2", mode="periodization")
    bands = torch.cat([torch.from_numpy(band) for band in (low, *details)], dim=1)
    coarse = torch.einsum("dc,bchw->bdhw", weight, bands)
    everything = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    latents = [ScaleLatent(coarse, everything.expand(1, 5, 4, 4)), ScaleLatent(fine, everything.expand(1, 3, 8, 8))]
    stage = prepared(latents, wavelet="db2", delta=0.5)
    with torch.no_grad():
        stage.aligners["1"].conv.weight.copy_(weight[..., None, None])
    term, numbers = stage(latents, 0.0)
    assert term.item() == pytest.approx(0, abs=1e-5)
    assert float(numbers["spectral/explained_1_2"]) == pytest.approx(1, abs=1e-5)
    # Half of the coarser latent's power from elsewhere: half is left unexplained.
    signal, noise = (z - z.mean(dim=(0, 2, 3), keepdim=True) for z in (coarse, torch.randn_like(coarse)))
    noise -= (noise * signal).sum() / signal.square().sum() * signal
    mixed = ScaleLatent(coarse + noise * signal.norm() / noise.norm(), latents[0].newly_coded)
    term, numbers = stage([mixed, latents[1]], 0.0)
    assert term.item() == pytest.approx(-0.25, abs=1e-5)
    assert float(numbers["spectral/explained_1_2"]) == pytest.approx(0.5, abs=1e-5)


def test_the_literal_formula_is_the_papers() -> None:
    latents = hierarchy(2.0, 3.0, 4.0)
    stage = prepared(latents, normalize="none", aligner="joint", latents="inclusive", delta=0.1)
    expected = 0.0
    for pair in (1, 2):
        coarse, fine = latents[pair - 1].y_hat.detach(), latents[pair].y_hat.detach()
        low, details = pywt.dwt2(fine.numpy(), "haar")
        bands = torch.cat([torch.from_numpy(band) for band in (low, *details)], dim=1)
        weight = stage.aligners[str(pair)].conv.weight.detach()[..., 0, 0]
        expected -= 0.1 * (coarse - torch.einsum("dc,bchw->bdhw", weight, bands)).square().mean().item()
    term = stage(latents, 0.0)[0]
    assert term.item() == pytest.approx(expected, rel=1e-5)
    term.backward()
    # The aligner descends the same loss: its step makes the distance larger.
    with torch.no_grad():
        for parameter in stage.parameters():
            parameter -= 1e-3 * parameter.grad
    assert stage(latents, 0.0)[0].item() < term.item()


def test_exclusive_takes_only_what_the_finer_scale_newly_codes() -> None:
    latents = hierarchy()
    exclusive = prepared(latents, pairs=[1], steps=3)
    inclusive = prepared(latents, pairs=[1], steps=3, latents="inclusive")
    changed = latents[1].y_hat.detach().clone()
    changed[..., ::2, ::2] += 3 * torch.randn(2, 6, 2, 2)
    other = [latents[0], ScaleLatent(changed, latents[1].newly_coded), latents[2]]
    assert exclusive(latents, 0.0)[0].item() == exclusive(other, 0.0)[0].item()
    assert inclusive(latents, 0.0)[0].item() != inclusive(other, 0.0)[0].item()


def test_delta_rises_over_the_ramp_and_the_window_ends() -> None:
    stage = InterScaleRegularizer(delta=0.2, start_epoch=10, ramp_epochs=4, end_epoch=20)
    assert [stage.weight(p) for p in (10, 11, 14, 19)] == pytest.approx([0, 0.05, 0.2, 0.2])
    assert [stage.is_active(p) for p in (9.99, 10, 19.99, 20)] == [False, True, True, False]
    assert [stage.weight(p) for p in (0, 9.9)] == [0, 0]
    sudden = InterScaleRegularizer(delta=0.2, start_epoch=10)
    assert [sudden.weight(p) for p in (9, 10)] == [0, 0.2]


def test_pairs_choose_what_is_measured() -> None:
    latents = hierarchy()
    stage = prepared(latents, pairs=[2])
    _, logged = stage(latents, 0.0)
    assert {key for key in logged if "distance" in key or "explained" in key} == {
        "spectral/distance_2_3",
        "spectral/explained_2_3",
    }
    assert float(logged["spectral/explained_2_3"]) == pytest.approx(
        1 - float(logged["spectral/distance_2_3"]), abs=1e-6
    )
    assert float(logged["spectral/power_1"]) == pytest.approx(latents[0].y_hat.square().mean().item())
    # The coarse latent has 6 channels, the finer one 4 in four bands.
    assert [tuple(p.shape) for p in stage.parameters()] == [(6, 16, 1, 1)]


def test_delta_0_measures_and_leaves_the_codec_alone() -> None:
    latents = hierarchy()
    stage = prepared(latents, delta=0.0)
    term = stage(latents, 0.0)[0]
    term.backward()
    assert term.item() == 0
    assert all(latent.y_hat.grad is None for latent in latents)
    assert all(parameter.grad.abs().max() > 0 for parameter in stage.parameters())


def test_only_a_frozen_aligner_is_not_trained() -> None:
    latents = hierarchy()
    trained = {
        role: [p.requires_grad for p in prepared(latents, aligner=role).parameters()]
        for role in ("adversarial", "joint", "frozen")
    }
    assert trained == {"adversarial": [True] * 2, "joint": [True] * 2, "frozen": [False] * 2}


def test_works_under_bf16_autocast_and_on_bf16_latents_in_single_precision() -> None:
    latents = hierarchy()
    stage = prepared(latents)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = stage(latents, 0.0)[0]
    assert inside.dtype == torch.float32
    assert inside.item() == stage(latents, 0.0)[0].item()
    halves = [ScaleLatent(latent.y_hat.detach().bfloat16(), latent.newly_coded) for latent in latents]
    assert stage(halves, 0.0)[0].item() == pytest.approx(inside.item(), rel=1e-2)


@pytest.mark.parametrize(
    ("arguments", "channels", "kernel"),
    [
        ({}, 64, 1),
        ({"subbands": "ll"}, 4, 1),
        ({"downsample": "average"}, 4, 1),
        ({"downsample": "strided_conv"}, 4, 5),
    ],
)
def test_scales_four_times_apart_take_two_levels(arguments: dict[str, str], channels: int, kernel: int) -> None:
    coarse, fine = torch.randn(2, 3, 4, 4), torch.randn(2, 4, 16, 16, requires_grad=True)
    latents = [ScaleLatent(y, torch.ones(1, 1, 1, 1, dtype=torch.bool).expand(1, *y.shape[1:])) for y in (coarse, fine)]
    stage = prepared(latents, **arguments)
    assert [tuple(p.shape) for p in stage.parameters()] == [(3, channels, kernel, kernel)]
    assert stage.describe() == {"kind": "inter_scale", "delta": 0.1, "ramp_epochs": 0, "pairs": 1}
    term, numbers = stage(latents, 0.0)
    assert -0.1 <= term.item() <= 0
    assert 0 <= float(numbers["spectral/explained_1_2"]) <= 1
    other = [latents[0], ScaleLatent(torch.randn(2, 4, 8, 8), latents[1].newly_coded[..., :8, :8])]
    with pytest.raises(UserError, match=r"got \[2, 3, 4, 4\] at scale 1 and \[2, 4, 8, 8\] at scale 2"):
        stage(other, 0.0)


def test_two_levels_are_pywavelets_packet_of_all_bands() -> None:
    fine = torch.randn(1, 2, 16, 12, dtype=torch.float64)
    aligner = Aligner(2, 32, levels=2, wavelet="db2").double()
    with torch.no_grad():
        aligner.conv.weight.copy_(torch.eye(32)[..., None, None])
    packet = pywt.WaveletPacket2D(fine.numpy(), "db2", mode="periodization", axes=(-2, -1))
    bands = aligner(fine)
    for second, outer in enumerate("ahvd"):
        for first, inner in enumerate("ahvd"):
            place = 8 * second + 2 * first
            expected = torch.from_numpy(packet[inner + outer].data)
            torch.testing.assert_close(bands[:, place : place + 2], expected)


def test_the_low_band_alone_equals_the_average_up_to_the_gain() -> None:
    fine = torch.randn(1, 4, 8, 8)
    low = Aligner(4, 3, subbands="ll")
    average = Aligner(4, 3, downsample="average")
    with torch.no_grad():
        average.conv.weight.copy_(2 * low.conv.weight)
    torch.testing.assert_close(low(fine), average(fine))


@pytest.mark.parametrize("downsample", ["dwt", "strided_conv", "average"])
def test_pair_0_is_the_coarsest_scale_and_the_bias_of_its_prior(downsample: str) -> None:
    """The share of the bias's power that a 1x1 map of the latent gives at its best gain; a constant has no other."""
    first, *others = hierarchy(size=4, dtype=torch.float64)
    bias = torch.randn(1, 5, 1, 1, dtype=torch.float64, requires_grad=True)
    latents = [ScaleLatent(first.y_hat, first.newly_coded, bias.expand(2, -1, 4, 4)), *others]
    stage = prepared(latents, pairs=[0, 1], delta=1.0, downsample=downsample)
    assert set(stage.aligners) == {"0", "1"}
    assert stage.aligners["0"].conv.weight.shape == (5, 4, 1, 1)
    term, numbers = stage(latents, 0.0)
    weight = stage.aligners["0"].conv.weight[:, :, 0, 0]
    p = torch.einsum("dc,bchw->bdhw", weight, first.y_hat)
    b = bias.expand_as(p)
    expected = (b * p).sum().square() / (b.square().sum() * p.square().sum())
    assert numbers["spectral/explained_0_1"].item() == pytest.approx(expected.item(), rel=1e-3)
    explained = sum(numbers[f"spectral/explained_{pair}"].item() for pair in ("0_1", "1_2"))
    assert term.item() == pytest.approx(explained - 2, rel=1e-4)
    term.backward()
    assert bias.grad.abs().sum() > 0
    assert first.y_hat.grad.abs().sum() > 0


def test_pair_0_needs_a_hierarchy_and_is_left_out_unless_asked_for() -> None:
    latents = hierarchy()
    with pytest.raises(ValueError, match="pairs must lie between 1 and 2 for this codec, got 0"):
        prepared(latents, pairs=[0, 1])
    biased = [ScaleLatent(latents[0].y_hat, latents[0].newly_coded, torch.ones(2, 3, 2, 2)), *latents[1:]]
    assert set(prepared(biased).aligners) == {"1", "2"}
