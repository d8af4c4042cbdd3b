"""The runs of a report, as their folders tell of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hpcm_spectral.errors import UserError, one_line
from hpcm_spectral.reports.comparison.names import short_names
from hpcm_spectral.reports.comparison.settings import Settings, settings_of
from hpcm_spectral.reports.phase_marks import phases_from
from hpcm_spectral.runs.discovery import LeftOut, find_run_folders
from hpcm_spectral.runs.folder import CONFIG, METRICS
from hpcm_spectral.runs.metrics import TAU, read_metrics
from hpcm_spectral.runs.phases import phases_of
from hpcm_spectral.runs.provenance import read_machines
from hpcm_spectral.runs.saved_config import read_config
from hpcm_spectral.runs.summary import read_summary

MEASURES = LOSS, BPP, PSNR, MS_SSIM = "loss", "bpp_loss", "psnr", "ms_ssim_db"


@dataclass(frozen=True)
class ComparedRun:
    """A run folder as the report needs it.

    Attributes:
        path: The folder.
        name: Short and different from every other run's.
        settings: What it trains; see `settings_of`.
        seed: The seed, if it has one.
        state: As ``summary.json`` says: ``finished``, ``running`` (also of a run that was killed), ...
        validations: A row per validation by epoch, a column per measure of `MEASURES`; NaN where one is not finite.
        lost: How many validations have no finite loss.
        tau: The cutoffs while phase 1 acted.
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
    validations: pd.DataFrame
    lost: int
    tau: pd.Series
    epochs: float | None
    seconds: float | None
    sessions: int
    machine: str | None

    @property
    def finished(self) -> bool:
        """Whether it trained to its end, so that its final figures are final."""
        return self.state == "finished"

    def validation(self, measure: str) -> pd.Series:
        """A measure of the validations that have it, by epoch."""
        return self.validations[measure].dropna()

    @property
    def final(self) -> pd.Series:
        """The last validation: its epoch and its measures."""
        return self._at(self.validation(LOSS).index[-1])

    @property
    def best(self) -> pd.Series:
        """The validation with the least loss, whose weights the run exports."""
        return self._at(self.validation(LOSS).idxmin())

    def _at(self, epoch: float) -> pd.Series:
        return pd.concat([pd.Series({"epoch": epoch}), self.validations.loc[epoch]])


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
    runs = []
    for path in paths:
        try:
            if (reason := _never_began(path)) is None:
                run = _read(path)
                if len(run.validation(LOSS)):
                    runs.append(run)
                    continue
                reason = f"it has no validation with a finite loss; its state is {run.state!r}"
        except (UserError, OSError) as error:
            reason = f"it is damaged: {one_line(error)}"
        left_out.append(LeftOut(path, reason))
    names = short_names([run.path for run in runs])
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)], left_out


def _never_began(path: Path) -> str | None:
    """Why a folder holds no more than a summary: a sweep notes a job there whose settings were refused."""
    if (path / CONFIG).exists() or (path / METRICS).exists():
        return None
    error = read_summary(path, strict=True).get("error")
    return None if error is None else f"it failed before its training began: {str(error).rstrip('.')}"


def _read(path: Path) -> ComparedRun:
    config, metrics = read_config(path), read_metrics(path / METRICS)
    summary = read_summary(path, strict=True)
    sessions, machine = read_machines(path)
    seed, newest = config.get("seed"), metrics.newest_epoch if metrics else 0.0
    one = phases_from(phases_of(path, config, metrics), newest).of("phase1")
    columns = {key: metrics.series(f"val/{key}") if metrics else pd.Series(dtype=float) for key in MEASURES}
    return ComparedRun(
        path=path,
        name="",
        settings=settings_of(config),
        seed=seed if isinstance(seed, int) else None,
        state=str(summary.get("state", "without a summary")),
        # A resumed run can have validated an epoch twice.
        validations=pd.DataFrame({key: s[~s.index.duplicated(keep="last")] for key, s in columns.items()}),
        lost=metrics.left_out(f"val/{LOSS}") if metrics else 0,
        tau=one.of(metrics.series(TAU)) if metrics and one else pd.Series(dtype=float),
        epochs=_number(summary.get("epochs")) or newest or None,
        seconds=_number(summary.get("seconds")) or None,
        sessions=sessions,
        machine=machine,
    )


def _number(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
