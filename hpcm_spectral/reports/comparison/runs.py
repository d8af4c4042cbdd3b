"""The runs of a report."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcm_spectral.errors import UserError, one_line
from hpcm_spectral.reports.comparison.discovery import LeftOut, find_run_folders
from hpcm_spectral.reports.comparison.names import short_names
from hpcm_spectral.reports.comparison.settings import Settings, settings_of
from hpcm_spectral.reports.run_folder import load_config
from hpcm_spectral.runs.metrics import MetricsTable, Series, read_metrics

FINISHED = "finished"
LOSS, BPP, PSNR, MS_SSIM = "loss", "bpp_loss", "psnr", "ms_ssim_db"


@dataclass(frozen=True)
class Validation:
    """One validation; ``None`` where a metric was not logged or is not finite.

    Attributes:
        epoch: After how many epochs.
        loss: Rate-distortion loss, without any stage's term.
        bpp: Estimated bits per pixel.
        psnr: In dB.
        ms_ssim: In dB.
    """

    epoch: float
    loss: float
    bpp: float | None
    psnr: float | None
    ms_ssim: float | None


@dataclass(frozen=True)
class ComparedRun:
    """A run folder as the report needs it.

    Attributes:
        path: The folder.
        name: Short and different from every other run's.
        settings: What it trains; see `settings_of`.
        seed: The seed, if it has one.
        state: As ``summary.json`` says: ``finished``, ``running`` (also of a run that was killed), ...
        metrics: The logged rows.
        epochs: Trained so far; None if unknown.
        seconds: Of training and validation so far; None if unknown.
        sessions: How often it was started; 0 if unknown.
        machine: Processor and GPUs; None if unknown.
    """

    path: Path
    name: str
    settings: Settings
    seed: int | None
    state: str
    metrics: MetricsTable
    epochs: float | None
    seconds: float | None
    sessions: int
    machine: str | None

    @property
    def finished(self) -> bool:
        """Whether it trained to its end, so that its final figures are final."""
        return self.state == FINISHED

    def validation(self, key: str) -> Series:
        """A metric of the validations."""
        return self.metrics.series(f"val/{key}")

    @property
    def final(self) -> Validation | None:
        """The last validation."""
        return self._validation_at(-1)

    @property
    def best(self) -> Validation | None:
        """The validation with the least loss, whose weights the run exports."""
        values = self.validation(LOSS).values
        return self._validation_at(int(values.argmin())) if len(values) else None

    def _validation_at(self, index: int) -> Validation | None:
        loss = self.validation(LOSS)
        if not len(loss.values):
            return None
        epoch = float(loss.epochs[index])
        bpp, psnr, ms_ssim = (_at(self.validation(key), epoch) for key in (BPP, PSNR, MS_SSIM))
        return Validation(epoch, float(loss.values[index]), bpp, psnr, ms_ssim)


def read_runs(given: Sequence[str]) -> tuple[list[ComparedRun], list[LeftOut]]:
    """Read the run folders among and below paths.

    Args:
        given: As `find_run_folders` takes them.

    Returns:
        The runs, those included that have not finished but were validated, and the folders that are left out.

    Raises:
        ConfigError: A path does not exist.
    """
    paths, left_out = find_run_folders(given)
    facts: dict[Path, dict[str, Any]] = {}
    for path in paths:
        try:
            if (reason := _never_began(path)) is not None:
                left_out.append(LeftOut(path, reason))
                continue
            facts[path] = _read(path)
        except UserError as error:
            left_out.append(LeftOut(path, f"it is damaged: {error}"))
        except OSError as error:
            left_out.append(LeftOut(path, f"it cannot be read: {error.strerror or one_line(error)}"))
        else:
            if not len(facts[path]["metrics"].series(f"val/{LOSS}").values):
                state = facts.pop(path)["state"]
                left_out.append(LeftOut(path, f"it has no validation with a finite loss; its state is {state!r}"))
    names = short_names(list(facts))
    runs = [ComparedRun(path=path, name=name, **facts[path]) for path, name in zip(facts, names, strict=True)]
    return runs, left_out


def _never_began(path: Path) -> str | None:
    """Why a folder holds no more than a summary: a sweep notes a job there whose settings were refused."""
    if any((path / name).exists() for name in ("config.yaml", "metrics.csv")):
        return None
    error = _json(path / "summary.json").get("error")
    return None if error is None else f"it failed before its training began: {str(error).rstrip('.')}"


def _read(path: Path) -> dict[str, Any]:
    config = load_config(path / "config.yaml")
    seed = config.get("seed")
    metrics = read_metrics(path / "metrics.csv")
    summary = _json(path / "summary.json")
    if metrics is None:
        # An empty table: the caller says what such a run lacks.
        metrics = MetricsTable(path / "metrics.csv", {"step": [], "epoch": []})
    sessions, machine = _provenance(path)
    # Cells are read as numbers only when asked for; a damaged one must be found here.
    for key in (LOSS, BPP, PSNR, MS_SSIM):
        metrics.series(f"val/{key}")
    metrics.tau()
    return {
        "settings": settings_of(config),
        "seed": seed if isinstance(seed, int) else None,
        "state": str(summary.get("state", "without a summary")),
        "metrics": metrics,
        "epochs": _number(summary.get("epochs")) or metrics.newest_epoch or None,
        "seconds": _number(summary.get("seconds")) or None,
        "sessions": sessions,
        "machine": machine,
    }


def _json(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty if there is no such file."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except ValueError as error:
        raise UserError(f"{path} must describe the run, but: {one_line(error)}; restore it or move it away.") from None
    return content


def _provenance(path: Path) -> tuple[int, str | None]:
    sessions = _json(path / "provenance.json").get("sessions", [])
    try:
        machines = {f"{s['machine']['processor']}, {', '.join(s['machine']['gpus']) or 'no GPU'}" for s in sessions}
        return len(sessions), " and ".join(sorted(machines)) or None
    except (KeyError, TypeError):
        raise UserError(f"{path / 'provenance.json'} must list sessions with their machine; move it away.") from None


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def _at(series: Series, epoch: float) -> float | None:
    found = series.values[series.epochs == epoch]
    return float(found[-1]) if len(found) else None
