"""Reading a run folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hpcm_spectral.errors import UserError, one_line
from hpcm_spectral.reports.truncation import Truncation, read_truncation
from hpcm_spectral.runs.metrics import MetricsTable, read_metrics
from hpcm_spectral.runs.spectra import SpectralHistory, read_spectral_history


@dataclass(frozen=True)
class Sample:
    """A validation photograph and what the codec made of it.

    Attributes:
        name: Its name.
        bpp: Bits per pixel.
        psnr: In dB.
        original: Its image file.
        decoded: The reconstruction's image file.
    """

    name: str
    bpp: float
    psnr: float
    original: Path
    decoded: Path


@dataclass(frozen=True)
class RunFolder:
    """What the pictures need of a run.

    Attributes:
        model: Name of the model's class.
        lmbda: Weight of the distortion, if the loss has one.
        seed: The seed, if there is one.
        truncation: Phase 1; ``None`` if it is off or a user's own.
        phase2_plan: Epochs at which phase 2 starts and ends by the config; ``None`` where it does not say.
        metrics: The logged rows; ``None`` if there are none.
        samples: Validation photographs, perhaps none.
        spectra: What spectral diagnostics measured; ``None`` if they were off.
    """

    model: str
    lmbda: float | None
    seed: int | None
    truncation: Truncation | None
    phase2_plan: tuple[float | None, float | None]
    metrics: MetricsTable | None
    samples: tuple[Sample, ...]
    spectra: SpectralHistory | None = None

    @property
    def title(self) -> str:
        """The run in one line."""
        parts = [self.model]
        if self.lmbda is not None:
            parts.append(f"λ = {self.lmbda:g}")
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        if self.metrics is not None:
            parts.append(f"{self.metrics.steps:,} step{'s' if self.metrics.steps != 1 else ''}")
        return "  ·  ".join(parts)


def read_run_folder(path: Path) -> RunFolder:
    """Read a run folder: config, metrics and the list of samples.

    Args:
        path: The folder.

    Returns:
        Its content.

    Raises:
        UserError: The config is missing, or a file is damaged.
    """
    config_path = path / "config.yaml"
    config = _read_config(config_path)
    metrics = read_metrics(path / "metrics.csv")
    model, loss, seed = (config.get(key) for key in ("model", "loss", "seed"))
    lmbda = loss.get("lmbda") if isinstance(loss, dict) else None
    target = model.get("_target_") if isinstance(model, dict) else model
    phase2 = config.get("phase2")
    plan = phase2 if isinstance(phase2, dict) else {}
    return RunFolder(
        model=str(target or "model").rpartition(".")[2],
        lmbda=_number(lmbda),
        seed=seed if isinstance(seed, int) else None,
        truncation=read_truncation(config.get("phase1"), metrics, config_path),
        phase2_plan=(_number(plan.get("start_epoch")), _number(plan.get("end_epoch"))),
        metrics=metrics,
        samples=_read_samples(path / "samples" / "samples.json"),
        spectra=read_spectral_history(path),
    )


def load_config(path: Path) -> DictConfig:
    """A run's config, unresolved.

    Raises:
        UserError: It is missing, damaged, or names no model.
    """
    with _naming(path):
        config = OmegaConf.load(path)
        if not isinstance(config, DictConfig) or "model" not in config:
            raise ValueError("it names no model")
        return config


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors as one sentence that names the config."""
    try:
        yield
    # The YAML parser and OmegaConf share no base class of errors with the file system.
    except Exception as error:
        raise UserError(
            f"{path} must be a run's config, but: {one_line(error)}; check the folder or restore the file."
        ) from error


def _read_config(path: Path) -> dict[str, Any]:
    config = load_config(path)
    with _naming(path):
        # Only these: the rest may refer to resolvers that exist during a run only.
        return {
            key: OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
            for key in ("model", "loss", "seed", "phase1", "phase2")
            for node in [config.get(key)]
        }


def _read_samples(path: Path) -> tuple[Sample, ...]:
    if not path.exists():
        return ()
    try:
        return tuple(
            Sample(
                name=str(entry["name"]),
                bpp=float(entry["bpp"]),
                psnr=float(entry["psnr"]),
                original=path.parent / entry["original"],
                decoded=path.parent / entry["decoded"],
            )
            for entry in json.loads(path.read_text(encoding="utf-8"))
        )
    except KeyError as error:
        raise UserError(
            f"Every sample in {path} must have an entry {error}; restore the file or move it away."
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} must list a run's samples, but: {one_line(error)}; restore the file or move it away."
        ) from error


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
