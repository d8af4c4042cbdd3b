"""A training step asks its device for no value: the host would wait for all that the device still has to do."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from hpcm_spectral import InterScaleRegularizer
from hpcm_spectral.codec import Codec
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.models import DHIC, HPCM_Tiny
from hpcm_spectral.ops.devices import LateReading
from hpcm_spectral.schedules import LinearSchedule
from hpcm_spectral.stages import SpectralTruncation
from hpcm_spectral.training import CodecModule, Recipe
from hpcm_spectral.training.clipping import clip_groups, skip_groups


def small_dhic() -> DHIC:
    one = {"encoder_depths": [1, 1], "prior_depths_before": [1, 1], "prior_depths_after": [1]}
    two = {"decoder_depths_before": [1, 1], "decoder_depths_after": [1, 1]}
    return DHIC([8, 8], [4, 4], **one, **two, stem_channels=8, stem_depth=1, levels=4)


def module_of(make: Callable[[], Codec], normalize: str = "power") -> CodecModule:
    torch.manual_seed(0)
    codec = make()
    second = InterScaleRegularizer(normalize=normalize)
    with torch.no_grad():
        second.prepare(codec.eval()(torch.rand(1, 3, 256, 256))["latents"])
    first = SpectralTruncation(schedule=LinearSchedule(0.05, 1.0, 10, granularity="step"))
    recipe = Recipe(partial(torch.optim.Adam, lr=1e-4))
    return CodecModule(codec.train(), RateDistortionLoss(), recipe, [first, second]).train()


class FromTheHost(TorchFunctionMode):
    """Notes tensors that are made from values of the host, which are sent to the device each time."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.to, torch.Tensor.cuda):
            given = args[0].device.type if isinstance(args[0], torch.Tensor) else "cpu"
            if out.device.type != given:
                self.made.append(f"{func.__name__} {list(out.shape)}")
        return out


@pytest.mark.parametrize("make", [HPCM_Tiny, small_dhic])
def test_a_step_asks_for_no_value_and_sends_none(make: Callable[[], Codec], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that holds no values, where asking for one is an error, as is a shape that depends on one."""
    module = module_of(make).to("meta")
    batch = torch.rand(1, 3, 256, 256, device="meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # knows no such device
    module.training_loss(batch, 0.5).loss.backward()  # makes the constants
    module.zero_grad()
    with FromTheHost() as sent:
        module.training_loss(batch, 0.7).loss.backward()
        optimizer = torch.optim.Adam(module.parameter_groups(), lr=1e-4)
        finite = clip_groups(optimizer, 1.0, module.device)
    assert sent.made == []
    assert (finite.shape, finite.device.type) == ((2,), "meta")
    assert all(p.grad is not None and p.grad.is_meta for p in module.parameters())
    # The device is one where the host could not wait unseen.
    with pytest.raises((RuntimeError, NotImplementedError)):
        finite.tolist()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("make", [HPCM_Tiny, small_dhic])
@pytest.mark.parametrize("normalize", ["power", "none"])
def test_no_step_waits_for_the_gpu(make: Callable[[], Codec], normalize: str) -> None:
    module = module_of(make, normalize).to("cuda")
    batch = torch.rand(1, 3, 256, 256, device="cuda")
    optimizer = module.recipe.optimizer(module.parameter_groups())

    def step(progress: float) -> None:
        optimizer.zero_grad()
        module.latest = module.training_loss(batch, progress)
        module.latest.loss.backward()
        module.configure_gradient_clipping(optimizer, 1.0)
        optimizer.step()

    step(0.5)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for progress in (0.6, 0.7, 0.8):
            step(progress)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("bad", [(False, False), (True, False), (False, True), (True, True)])
def test_a_fused_optimizer_skips_each_group_apart_as_one_that_gets_no_gradient(kind: Any, bad: tuple) -> None:
    def trained(fused: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        groups = [nn.Linear(3, 2), nn.Linear(2, 3)]
        optimizer = kind([{"params": list(g.parameters())} for g in groups], lr=0.1, fused=fused, foreach=False)
        for failing in ((False, False), bad, (False, False), bad):
            optimizer.zero_grad()
            for group, fails in zip(groups, failing, strict=True):
                factor = float("nan") if fails else 1.0
                (group(torch.ones(1, group.in_features)).square().sum() * factor).backward()
            skip_groups(optimizer, clip_groups(optimizer, 1.0, torch.device("cpu")))
            assert fused == all(p.grad is not None for group in groups for p in group.parameters()) or not any(failing)
            optimizer.step()
        states = [optimizer.state[p][key] for g in groups for p in g.parameters() for key in ("exp_avg", "step")]
        # What a checkpoint holds must not show it.
        assert type(optimizer.state_dict()["param_groups"]) is list
        return [p.detach() for g in groups for p in g.parameters()] + states

    for fused, plain in zip(trained(True), trained(False), strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-6, atol=1e-7)


def test_numbers_are_read_late_in_order_and_none_is_lost() -> None:
    late: LateReading[str] = LateReading(lag=2)
    read = [late(torch.tensor([float(i)]), f"step {i}") for i in range(4)]
    assert read == [[], [], [([0.0], "step 0")], [([1.0], "step 1")]]
    assert late.rest() == [([2.0], "step 2"), ([3.0], "step 3")]
    assert late.rest() == []
    assert LateReading()(torch.ones(1), "now") == [([1.0], "now")]
