"""The benchmark of a training step: that each phase's step is that phase's. Its figures are not asserted."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

from collections.abc import Callable
from functools import partial

import pytest
import torch

from hpcm_spectral.benchmarks.step import StepBenchmark, Stepper, variants_of
from hpcm_spectral.benchmarks.turns import seconds_in_turns
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.models import HPCM_Tiny
from hpcm_spectral.schedules import LinearSchedule
from hpcm_spectral.stages import InterScaleRegularizer, SpectralTruncation
from hpcm_spectral.training import CodecModule, Recipe


def module_of_both_phases() -> CodecModule:
    torch.manual_seed(0)
    codec = HPCM_Tiny()
    second = InterScaleRegularizer(start_epoch=10)
    second.prepare(codec.eval()(torch.zeros(1, 3, 256, 256))["latents"])
    first = SpectralTruncation(schedule=LinearSchedule(0.05, 1.0, 10))
    return CodecModule(codec.train(), RateDistortionLoss(), Recipe(partial(torch.optim.Adam, lr=1e-4)), [first, second])


def test_each_row_is_one_stage_alone_while_it_acts() -> None:
    variants = variants_of(module_of_both_phases())
    assert list(variants) == ["baseline", "phase1_intra", "phase2_inter"]
    batch = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        steps = [module.training_loss(batch, progress) for module, progress in variants.values()]
    assert [step.phase for step in steps] == list(variants)
    assert [len(module.stages) for module, _ in variants.values()] == [0, 1, 1]
    assert variants["phase1_intra"][1] == 5


def test_a_step_is_one_of_training_and_only_phase_2_moves_the_aligner() -> None:
    whole = module_of_both_phases()
    batch = torch.rand(1, 3, 256, 256)
    for phase, (module, progress) in variants_of(whole).items():
        before = [p.detach().clone() for p in (whole.codec.g_a[0].weight, *whole.stages.parameters())]
        Stepper(module, progress, autocast=torch.bfloat16 if phase == "phase2_inter" else None).step(batch)
        after = [whole.codec.g_a[0].weight, *whole.stages.parameters()]
        moved = [not torch.equal(a, b) for a, b in zip(after, before, strict=True)]
        assert moved == [True, phase == "phase2_inter", phase == "phase2_inter"]


def test_every_phase_is_timed_as_often_as_asked() -> None:
    batch = torch.rand(1, 3, 256, 256)
    variants = variants_of(module_of_both_phases())
    steps = {name: partial(Stepper(*variant).step, batch) for name, variant in variants.items()}
    seconds = seconds_in_turns(steps, batch.device, repeats=1)
    assert {phase: len(times) for phase, times in seconds.items()} == dict.fromkeys(variants, 1)
    assert min(time for times in seconds.values() for time in times) > 0
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        seconds_in_turns(steps, batch.device, repeats=0)


def test_ratios_are_within_a_round_and_the_table_shows_them() -> None:
    result = StepBenchmark("X", {"baseline": (1.0, 2.0, 4.0), "p": (2.0, 2.0, 6.0)}, {"baseline": 100.0, "p": 103.0})
    assert result.time_ratio("p") == 1.5
    assert result.memory_ratio("p") == pytest.approx(1.03)
    lines = [line.split() for line in result.table().splitlines()[2:]]
    assert lines == [["baseline", "2.000", "1.000", "100", "1.000"], ["p", "2.000", "1.500", "103", "1.030"]]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["benchmark=step", "phase1=off", "phase2=off"], "phase1 or phase2 must be on to be measured"),
        (["benchmark=step", "repeats=0"], "repeats must be a whole number from 1 on, got 0"),
        (["benchmark=step", "device=abacus"], "device must be cpu, or cuda where there is a GPU, got 'abacus'"),
        (["benchmark=step", "trainer.precision=64-true"], "trainer.precision must be one of 32-true, bf16-mixed"),
        (["benchmark=step", "trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches must be 1"),
        (["benchmark=steps"], "benchmark must be one of dct, step, got steps"),
        (["batch=0"], "batch must be a whole number from 1 on, got 0"),
    ],
)
def test_wrong_settings_end_with_one_sentence(
    overrides: list[str], message: str, run_program: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["model=hpcm_tiny"] if "benchmark=step" in overrides else []
    assert run_program("benchmark", *model, *overrides) == 2
    assert message in capsys.readouterr().err
