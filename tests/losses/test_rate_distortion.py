"""The loss against its definition, worked out by hand."""

import math

import pytest
import torch
from pytorch_msssim import ms_ssim

from hpcm_spectral.losses import RateDistortionLoss


def test_the_mse_loss_by_hand() -> None:
    target = torch.full((2, 3, 8, 4), 0.5)
    x_hat = target + 0.1
    likelihoods = {"y": torch.full((2, 5), 0.25), "z": torch.full((2, 3), 0.5)}
    terms = RateDistortionLoss(lmbda=0.01, metric="mse")(x_hat, likelihoods, target)
    # 2 images of 32 pixels: 10 values of 2 bits, 6 values of 1 bit.
    assert terms.rates["y"].item() == pytest.approx(20 / 64)
    assert terms.rates["z"].item() == pytest.approx(6 / 64)
    assert terms.mse.item() == pytest.approx(0.01, rel=1e-5)
    assert terms.psnr.item() == pytest.approx(20, abs=1e-4)
    assert terms.loss.item() == pytest.approx(0.01 * 255**2 * 0.01 + 26 / 64, rel=1e-5)
    assert terms.ms_ssim is None
    assert "ms_ssim_loss" not in terms.metrics()


def test_the_ms_ssim_loss_by_hand() -> None:
    target = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    x_hat = (0.9 * target + 0.05).requires_grad_()
    likelihoods = {"y": torch.ones(1, 2), "z": torch.full((1, 1), 0.5)}
    terms = RateDistortionLoss(lmbda=16.64, metric="ms_ssim")(x_hat, likelihoods, target)
    similarity = ms_ssim(x_hat, target, data_range=1.0).item()
    assert terms.loss.item() == pytest.approx(16.64 * (1 - similarity) + 1 / 256**2, rel=1e-6)
    assert terms.metrics()["ms_ssim_loss"].item() == pytest.approx(1 - similarity)
    terms.loss.backward()
    assert x_hat.grad is not None
    assert torch.isfinite(x_hat.grad).all()


def test_under_bf16_autocast_the_loss_is_float32() -> None:
    target = torch.rand(1, 3, 8, 8)
    likelihoods = {"y": torch.full((1, 1000), 0.9), "z": torch.ones(1, 1)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = RateDistortionLoss()(target.bfloat16(), likelihoods, target)
    assert terms.loss.dtype == torch.float32
    # bf16 has 8 bits of precision: the sum of a thousand small costs would show it.
    assert terms.rates["y"].item() == pytest.approx(-1000 * math.log2(0.9) / 64, rel=1e-5)


@pytest.mark.parametrize("lmbda", [0, -1, float("nan"), float("inf")])
def test_lambda_must_be_a_positive_number(lmbda: float) -> None:
    with pytest.raises(ValueError, match="lmbda must be a number above 0"):
        RateDistortionLoss(lmbda=lmbda)


@pytest.mark.parametrize("names", [("y",), ("y", "z"), ("z1", "z2", "z3", "z4")])
def test_the_rate_adds_up_over_whatever_likelihoods_there_are(names: tuple[str, ...]) -> None:
    target = torch.rand(1, 3, 4, 4)
    likelihoods = {name: torch.full((1, number), 0.5) for number, name in enumerate(names, start=1)}
    terms = RateDistortionLoss()(target, likelihoods, target)
    assert terms.bpp.item() == pytest.approx(sum(range(1, len(names) + 1)) / 16)
    logged = terms.metrics()
    assert [logged[f"{name}_bpp"].item() * 16 for name in names] == pytest.approx(range(1, len(names) + 1))


@pytest.mark.parametrize("metric", ["mse", "ms_ssim"])
def test_every_image_can_have_its_own_lambda(metric: str) -> None:
    generator = torch.Generator().manual_seed(2)
    target, noise = (torch.rand(3, 3, 192, 192, generator=generator) for _ in range(2))
    x_hat = target + torch.tensor([0.05, 0.1, 0.2]).view(3, 1, 1, 1) * (noise - 0.5)
    likelihoods = {"y": torch.full((3, 7), 0.5)}
    lmbda = torch.tensor([0.3, 2.0, 11.0])
    whole = RateDistortionLoss(metric=metric)(x_hat, likelihoods, target, lmbda)
    alone = [
        RateDistortionLoss(lmbda=weight.item(), metric=metric)(x_hat[[i]], {"y": likelihoods["y"][[i]]}, target[[i]])
        for i, weight in enumerate(lmbda)
    ]
    assert whole.loss.item() == pytest.approx(sum(terms.loss.item() for terms in alone) / 3, rel=1e-5)
    uniform = RateDistortionLoss(lmbda=2.0, metric=metric)(x_hat, likelihoods, target)
    same = RateDistortionLoss(metric=metric)(x_hat, likelihoods, target, torch.full((3,), 2.0))
    assert same.loss.item() == pytest.approx(uniform.loss.item(), rel=1e-5)
