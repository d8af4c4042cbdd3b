"""What a stage adds to a training step: the same codec with and without it, in turns in one process."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float

from hpcm_spectral.stages import Stage
from hpcm_spectral.tables import text_table
from hpcm_spectral.training import CodecModule


@dataclass(frozen=True)
class StepBenchmark:
    """Times and peak memory of training steps, per phase.

    Args:
        title: Model, batch and device.
        seconds: Times of each step by phase; the first phase is what the others are compared with.
        peak_mib: Peak memory of training in that phase.
    """

    title: str
    seconds: Mapping[str, tuple[float, ...]]
    peak_mib: Mapping[str, float]

    def time_ratio(self, phase: str) -> float:
        """Median over rounds of this phase's time as a share of the first one's in the same round."""
        first = next(iter(self.seconds.values()))
        return statistics.median(own / base for own, base in zip(self.seconds[phase], first, strict=True))

    def memory_ratio(self, phase: str) -> float:
        """Peak memory as a share of the first phase's."""
        return self.peak_mib[phase] / next(iter(self.peak_mib.values()))

    def table(self) -> str:
        """The figures as text, one phase per line."""
        rows = [
            (
                phase,
                f"{statistics.median(times):.3f}",
                f"{self.time_ratio(phase):.3f}",
                f"{self.peak_mib[phase]:.0f}",
                f"{self.memory_ratio(phase):.3f}",
            )
            for phase, times in self.seconds.items()
        ]
        table = text_table(("phase", "s (median)", "ratio", "peak MiB", "ratio"), rows)
        return f"Training steps of {self.title}\n{table}"


def variants_of(module: CodecModule) -> dict[str, tuple[CodecModule, float]]:
    """The codec alone and with each of its stages alone, by phase, and a progress in epochs at which that acts.

    The progress is half-way through a bounded window, and the start of one without end.
    """
    variants = {"baseline": (CodecModule(module.codec, module.loss, module.recipe).to(module.device), 0.0)}
    for stage in module.stages:
        assert isinstance(stage, Stage)
        start = stage.full_from
        end = start if stage.end_epoch is None else stage.end_epoch
        alone = CodecModule(module.codec, module.loss, module.recipe, [stage])
        variants[stage.phase] = (alone.to(module.device).train(), (start + end) / 2)
    return variants


@dataclass
class Stepper:
    """Takes training steps as training does: forward, backward, clipping, update.

    Args:
        module: The codec with its stages, on its device.
        progress: In epochs.
        clip: Limit of the gradient norm; None clips nothing.
        autocast: Precision of autocast; None for float32.
    """

    module: CodecModule
    progress: float
    clip: float | None = 1.0
    autocast: torch.dtype | None = None

    def __post_init__(self) -> None:
        self.optimizer = self.module.recipe.optimizer(self.module.parameter_groups())

    def step(self, batch: Float[torch.Tensor, "B 3 H W"]) -> None:
        """One step on ``batch``."""
        self.optimizer.zero_grad()
        with torch.autocast(batch.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            loss = self.module.training_loss(batch, self.progress).loss
        loss.backward()
        if self.clip:
            self.module.configure_gradient_clipping(self.optimizer, self.clip)
        self.optimizer.step()
