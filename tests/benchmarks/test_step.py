"""The steps that are measured: that they are those of training, where the stage acts."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

from functools import partial

import pytest
import torch

from hpcm_spectral.benchmarks.things import Stepper, progress_within, training_step
from hpcm_spectral.benchmarks.turns import rounds_in_turns, seconds_in_turns
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.models import HPCM_Tiny
from hpcm_spectral.schedules import LinearSchedule
from hpcm_spectral.stages import InterScaleRegularizer, SpectralTruncation
from hpcm_spectral.training import CodecModule, Recipe


def modules_of_each_phase() -> dict[str, CodecModule]:
    torch.manual_seed(0)
    codec = HPCM_Tiny()
    second = InterScaleRegularizer(start_epoch=10)
    second.prepare(codec.eval()(torch.zeros(1, 3, 256, 256))["latents"])
    first = SpectralTruncation(schedule=LinearSchedule(0.05, 1.0, 10))
    recipe = Recipe(partial(torch.optim.Adam, lr=1e-4))
    stages = {"baseline": [], "phase1_intra": [first], "phase2_inter": [second]}
    return {name: CodecModule(codec.train(), RateDistortionLoss(), recipe, own) for name, own in stages.items()}


def test_a_step_is_one_of_training_and_only_phase_2_moves_the_aligner() -> None:
    modules = modules_of_each_phase()
    codec, aligner = modules["baseline"].codec, modules["phase2_inter"].stages
    batch = torch.rand(1, 3, 256, 256)
    for phase, module in modules.items():
        stepper = Stepper(module, progress_within(module), autocast=torch.bfloat16 if phase == "phase2_inter" else None)
        thing = training_step(stepper, batch)
        at = {"baseline": "baseline", "phase1_intra": "phase1_intra at epoch 5"}.get(phase, f"{phase} at epoch")
        assert thing.subject.startswith(f"1x3x256x256, {at}")
        before = [p.detach().clone() for p in (codec.g_a[0].weight, *aligner.parameters())]
        thing.call()
        after = [codec.g_a[0].weight, *aligner.parameters()]
        moved = [not torch.equal(a, b) for a, b in zip(after, before, strict=True)]
        assert moved == [True, phase == "phase2_inter", phase == "phase2_inter"]


def test_calls_take_turns_and_those_that_warm_up_are_apart() -> None:
    made: list[str] = []
    calls = {name: partial(made.append, name) for name in "ab"}
    assert {name: len(times) for name, times in seconds_in_turns(calls, torch.device("cpu"), 2).items()} == {
        "a": 2,
        "b": 2,
    }
    assert made == ["a", "b"] * 3
    assert len(rounds_in_turns(calls, torch.device("cpu"), 3)["a"]) == 3
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        seconds_in_turns(calls, torch.device("cpu"), repeats=0)
