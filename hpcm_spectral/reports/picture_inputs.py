"""What the pictures of a run need of its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float

from hpcm_spectral.errors import UserError
from hpcm_spectral.reports.phase_marks import Phases, phases_from
from hpcm_spectral.runs.folder import CONFIG, METRICS, PHASES
from hpcm_spectral.runs.metrics import LEVEL_LMBDA, MetricsTable, read_metrics
from hpcm_spectral.runs.phases import PhaseRecord, phases_of
from hpcm_spectral.runs.plain_files import reading
from hpcm_spectral.runs.sample_index import Sample, read_samples
from hpcm_spectral.runs.saved_config import read_config
from hpcm_spectral.runs.spectra import SpectralHistory, read_spectral_history
from hpcm_spectral.stages import Mask, truncate
from hpcm_spectral.stages.dct_truncation import MASKS


@dataclass(frozen=True)
class Truncation:
    """What a DCT truncation did to images.

    Attributes:
        target: What the loss compared with, ``truncated`` or ``original`` images.
        moments: At most four epochs with their cutoffs, from the first to the last, all different.
    """

    mask: Mask
    target: str
    tau_final: float
    moments: tuple[tuple[float, float], ...]

    def apply(self, image: Float[torch.Tensor, "C H W"], tau: float) -> Float[torch.Tensor, "C H W"]:
        """``image`` as phase 1 showed it to the codec at ``tau``."""
        return truncate(image, tau, mask=self.mask, tau_final=self.tau_final)


@dataclass(frozen=True)
class RunFolder:
    """What the pictures need of a run.

    ``lmbda`` holds the weight of the distortion, or the first and the last of several rate levels' (none if unknown),
    ``truncation`` phase 1, None if it is off or a user's own, ``spectra`` what diagnostics measured, None if they were
    off.
    """

    codec: str
    lmbda: tuple[float, ...]
    seed: int | None
    truncation: Truncation | None
    phases: Phases
    metrics: MetricsTable
    samples: tuple[Sample, ...]
    spectra: SpectralHistory | None = None

    @property
    def title(self) -> str:
        """The run in one line."""
        lmbda = " to ".join(f"{value:.3g}" for value in self.lmbda)
        lmbda = f"λ = {lmbda}" + " (means; pictures: middle level)" * (len(self.lmbda) > 1) if lmbda else ""
        seed = "" if self.seed is None else f"seed {self.seed}"
        steps = f"{self.metrics.steps:,} step{'s' if self.metrics.steps != 1 else ''}" if self.metrics else ""
        return "  ·  ".join(filter(None, (self.codec, lmbda, seed, steps)))


def read_run_folder(folder: Path) -> RunFolder:
    """What pictures need of a run folder.

    Raises:
        UserError: The config is missing, or a file is damaged.
    """
    config = read_config(folder, resolve=("model", "loss", "seed", "phase1", "phase2"))
    metrics = read_metrics(folder / METRICS)
    records = phases_of(folder, config, metrics)
    loss, seed = config["loss"], config["seed"]
    lmbda = loss.get("lmbda") if isinstance(loss, dict) else None
    levels = [values.iloc[-1] for values in metrics.numbered(LEVEL_LMBDA).values() if len(values)]
    lmbdas = (levels[0], levels[-1]) if levels else (lmbda,)
    return RunFolder(
        codec=_codec_name(config["model"]),
        lmbda=tuple(float(value) for value in lmbdas if isinstance(value, int | float)),
        seed=seed if isinstance(seed, int) else None,
        truncation=_truncation(records, folder),
        phases=phases_from(records, metrics.newest_epoch),
        metrics=metrics,
        samples=read_samples(folder),
        spectra=read_spectral_history(folder),
    )


def _codec_name(model: Any) -> str:
    """What to call the codec of a ``model`` node: its architecture if it says one, else its class."""
    if isinstance(model, Mapping):
        if architecture := model.get("architecture"):
            return str(architecture)
        model = model.get("_target_")
    return str(model or "model").rpartition(".")[2]


def _truncation(records: list[PhaseRecord], folder: Path) -> Truncation | None:
    """The first DCT truncation that is known by its cutoffs."""
    for record in records:
        said = record.description
        if said.get("kind") != "dct_truncation" or not said.get("moments"):
            continue
        mask, target = said.get("mask"), said.get("target")
        if mask not in MASKS or target not in ("truncated", "original"):
            raise UserError(
                f"{record.key} in {folder / CONFIG} must have a known mask and target, got {mask} and "
                f"{target}; restore it."
            )
        with reading(folder / PHASES, "say what a run's stages did"):
            moments = tuple((float(epoch), float(tau)) for epoch, tau in said["moments"])
            return Truncation(mask, target, float(said["tau_final"]), moments)
    return None
