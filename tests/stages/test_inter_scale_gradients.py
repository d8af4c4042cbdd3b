"""Phase 2's distances and where their gradients lead."""

from functools import partial

import pytest
import pywt
import torch
from scale_latents import hierarchy, prepared
from torch.utils.checkpoint import checkpoint

from hpcm_spectral import InterScaleRegularizer
from hpcm_spectral.codec import ScaleLatent
from hpcm_spectral.stages.distances import mean_distance, unexplained


@pytest.mark.parametrize("distance", ["l2", "l1", "cosine"])
def test_growing_latents_do_not_pay(distance: str) -> None:
    """Euler: a function of degree zero has a gradient that is orthogonal to its argument."""
    latents = hierarchy(3.0, 2.0, 5.0, dtype=torch.float64)
    stage = prepared(latents, distance=distance, steps=3)
    stage(latents, 0.0)[0].backward()
    for latent in latents:
        along = (latent.y_hat * latent.y_hat.grad).sum().abs()
        assert latent.y_hat.grad.abs().max() > 1e-6
        assert along < 1e-3 * (latent.y_hat.norm() * latent.y_hat.grad.norm())


@pytest.mark.parametrize("distance", ["l2", "l1", "cosine"])
@pytest.mark.parametrize("downsample", ["dwt", "strided_conv", "average"])
def test_the_codec_raises_the_distance_and_the_aligner_lowers_it(distance: str, downsample: str) -> None:
    latents = hierarchy(dtype=torch.float64)
    stage = prepared(latents, distance=distance, downsample=downsample, delta=0.7, pairs=[1], steps=3)
    aligner = stage.aligners["1"]

    def distance_of(coarse: torch.Tensor, fine: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        mask = latents[1].newly_coded
        prediction = torch.func.functional_call(aligner, {"conv.weight": weight}, fine * mask)
        return unexplained(distance, coarse, prediction)

    inputs = [latents[0].y_hat, latents[1].y_hat, aligner.conv.weight]
    # Numerically, in float64.
    assert torch.autograd.gradcheck(distance_of, inputs)
    of_distance = torch.autograd.grad(distance_of(*inputs), inputs)
    of_stage = torch.autograd.grad(stage(latents, 0.0)[0], inputs)
    assert all(gradient.abs().max() > 1e-5 for gradient in of_distance)
    torch.testing.assert_close(of_stage[0], -0.7 * of_distance[0])
    torch.testing.assert_close(of_stage[1], -0.7 * of_distance[1])
    torch.testing.assert_close(of_stage[2], of_distance[2])
    # A step down the loss: the codec's side makes the distance larger, the aligner's smaller.
    before = distance_of(*inputs).item()
    step = 1e-3
    coarse, fine, weight = (x.detach() - step * g for x, g in zip(inputs, of_stage, strict=True))
    assert distance_of(coarse, fine, inputs[2]).item() > before
    assert distance_of(inputs[0], inputs[1], weight).item() < before


def in_two_evaluations(stage: InterScaleRegularizer, latents: list[ScaleLatent], weight: float) -> torch.Tensor:
    """The adversarial term as it is defined: fixed aligners for the codec, fixed latents for the aligners."""
    measure = (
        partial(unexplained, stage.distance) if stage.normalize == "power" else partial(mean_distance, stage.distance)
    )
    term: torch.Tensor | float = 0.0
    for key, aligner in stage.aligners.items():
        fine, coarse = latents[int(key)], latents[int(key) - 1].y_hat
        masked = fine.y_hat * fine.newly_coded
        fixed = torch.func.functional_call(aligner, {"conv.weight": aligner.conv.weight.detach()}, masked)
        reward = measure(coarse, fixed)
        if (stage.normalize, stage.distance) == ("power", "l1"):
            reward = reward.clamp(max=1)
        own = measure(coarse.detach(), aligner(masked.detach()))
        term = term - weight * reward + (own - own.detach())
    return term


@pytest.mark.parametrize("normalize", ["power", "none"])
@pytest.mark.parametrize("distance", ["l2", "l1", "cosine"])
@pytest.mark.parametrize(("progress", "weight"), [(2.0, 0.0), (3.0, 0.35), (5.0, 0.7)])
@pytest.mark.parametrize("spike", [False, True])
def test_one_evaluation_gives_what_two_would(
    distance: str, normalize: str, progress: float, weight: float, spike: bool
) -> None:
    latents = hierarchy(dtype=torch.float64)
    stage = prepared(latents, distance=distance, normalize=normalize, delta=0.7, start_epoch=2, ramp_epochs=2)
    if spike:  # which no prediction explains: the modulus that is left exceeds that of the latent itself
        with torch.no_grad():
            latents[0].y_hat.mul_(1e-3)[0, 0, 0, 0] = 5.0
    inputs = [*(latent.y_hat for latent in latents), *stage.parameters()]
    expected = in_two_evaluations(stage, latents, weight)
    of_two = torch.autograd.grad(expected, inputs, allow_unused=True)
    term, numbers = stage(latents, progress)
    of_one = torch.autograd.grad(term, inputs, allow_unused=True)
    if (spike, normalize, distance) == (True, "power", "l1"):
        assert float(numbers["spectral/distance_1_2"]) > 1
        assert of_two[0].abs().max() == 0
        assert of_one[3].abs().max() > 0
    torch.testing.assert_close(term, expected, rtol=1e-14, atol=0)
    for one, two in zip(of_one, of_two, strict=True):
        if one is None:  # nothing of the stage reaches the codec
            assert weight == 0
            assert two is None or two.abs().max() == 0
        else:
            torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-15)


def test_the_terms_own_gradient_is_numerically_right_on_the_codecs_side() -> None:
    latents = hierarchy(dtype=torch.float64)
    stage = prepared(latents, steps=3)

    def term(*y_hats: torch.Tensor) -> torch.Tensor:
        term, _ = stage([ScaleLatent(y, z.newly_coded) for y, z in zip(y_hats, latents, strict=True)], 0.0)
        return term

    assert torch.autograd.gradcheck(term, [latent.y_hat for latent in latents])


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    def gradients(checkpointed: bool) -> list[torch.Tensor]:
        x = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(2))
        torch.manual_seed(1)
        codec = torch.nn.Conv2d(4, 4, 3, padding=1)

        def latents_of(image: torch.Tensor) -> list[ScaleLatent]:
            y = codec(image)
            return [ScaleLatent(z, torch.ones_like(z[:1], dtype=torch.bool)) for z in (y[..., ::2, ::2], y)]

        stage = prepared(latents_of(x))
        if checkpointed:
            latents = checkpoint(latents_of, x, use_reentrant=False)
            term, _ = checkpoint(stage, latents, 0.0, use_reentrant=False)
        else:
            term = stage(latents_of(x), 0.0)[0]
        term.backward()
        return [p.grad for p in (*codec.parameters(), *stage.parameters())]

    for plain, checkpointed in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_an_adversarial_aligner_finds_what_there_is_to_explain() -> None:
    """Three quarters of the coarser latent's power follow from the finer one; the rest is noise."""
    torch.manual_seed(0)
    mix = torch.randn(4, 16) / 4
    stage = InterScaleRegularizer(delta=0.0)
    optimizer = None
    for _ in range(400):
        fine = torch.randn(4, 4, 8, 8)
        low, details = pywt.dwt2(fine.numpy(), "haar")
        bands = torch.cat([torch.from_numpy(band) for band in (low, *details)], dim=1)
        coarse = 3**0.5 * torch.einsum("dc,bchw->bdhw", mix, bands) + torch.randn(4, 4, 4, 4)
        latents = [ScaleLatent(z, torch.ones_like(z[:1], dtype=torch.bool)) for z in (coarse, fine)]
        if optimizer is None:
            stage.prepare(latents)
            optimizer = torch.optim.Adam(stage.parameters(), lr=1e-2)
        optimizer.zero_grad()
        term, numbers = stage(latents, 0.0)
        term.backward()
        optimizer.step()
    share = 3 * mix.square().sum().item() / (3 * mix.square().sum().item() + 4)
    assert float(numbers["spectral/explained_1_2"]) == pytest.approx(share, abs=0.05)
    assert float(numbers["spectral/distance_1_2"]) == pytest.approx(1 - share, abs=0.05)


def test_what_is_explained_does_not_depend_on_gain_and_sign() -> None:
    z = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    for gain in (0.1, 1.0, -50.0):
        assert unexplained("l2", z, gain * z).item() == pytest.approx(0, abs=1e-3)
    assert unexplained("l2", z, 0 * z).item() == 1
    assert unexplained("l2", 0 * z, z).item() == 1


def test_the_unexplained_share_is_that_of_a_least_squares_fit_with_one_gain_and_a_mean_per_channel() -> None:
    z, p = (torch.randn(2, 3, 4, 4, dtype=torch.float64) for _ in range(2))
    columns = [p.flatten()]
    for channel in range(3):
        one = torch.zeros_like(p)
        one[:, channel] = 1
        columns.append(one.flatten())
    matrix = torch.stack(columns, dim=1)
    left = z.flatten() - matrix @ torch.linalg.lstsq(matrix, z.flatten()[:, None]).solution[:, 0]
    alone = z - z.mean(dim=(0, 2, 3), keepdim=True)
    expected = left.square().sum() / alone.square().sum()
    assert unexplained("l2", z, p).item() == pytest.approx(expected.item(), abs=1e-5)
    expected = left.abs().sum() / alone.abs().sum()
    assert unexplained("l1", z, p).item() == pytest.approx(expected.item(), abs=1e-5)
