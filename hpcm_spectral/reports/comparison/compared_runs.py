"""The runs of a report, as their folders tell of them, and their short names."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from hpcm_spectral.data.decode import read_size
from hpcm_spectral.errors import UserError, one_line
from hpcm_spectral.flatten import flatten
from hpcm_spectral.metrics import MS_SSIM_MIN_SIDE
from hpcm_spectral.names import printable
from hpcm_spectral.reports.phase_marks import phases_from
from hpcm_spectral.runs.discovery import LeftOut, find_run_folders
from hpcm_spectral.runs.folder import CONFIG, METRICS
from hpcm_spectral.runs.metrics import TAU, MetricsTable, read_metrics
from hpcm_spectral.runs.phases import phases_of
from hpcm_spectral.runs.provenance import read_machines
from hpcm_spectral.runs.sample_index import read_samples
from hpcm_spectral.runs.saved_config import read_config
from hpcm_spectral.runs.summary import read_summary

Settings = Mapping[str, Any]
MEASURES = LOSS, BPP, PSNR, MS_SSIM = "loss", "bpp_loss", "psnr", "ms_ssim_db"
OFF = "off"
# What says where a run writes and how it is watched, not what it trains.
IGNORED_GROUPS = ("hydra", "paths", "logger", "resume", "sweep", "diagnostics")
IGNORED_KEYS = (
    "seed",
    "compile",  # which older runs do not have
    "data.num_workers",
    "data.cache_mb",  # of older runs
    "data.cache_gib",
    "data.cache_dir",
    "data.max_megapixels",
    "data.pin_memory",
    "trainer.log_every_n_steps",
)
MAX_LENGTH = 44


@dataclass(frozen=True)
class ComparedRun:
    """A run folder as the report needs it.

    Attributes:
        path: The folder.
        name: Short and different from every other run's.
        settings: What it trains; see `settings_of`.
        seed: The seed, if it has one.
        state: As ``summary.json`` says: ``finished``, ``running`` (also of a run that was killed), ...
        validations: A row per validation by epoch: the epoch, and the measures of `MEASURES`, NaN where not finite.
        levels: Of a codec with several rate levels, a row per validated level: ``lmbda`` and the measures at the epoch
            of the least loss; else empty.
        lost: How many validations have no finite loss.
        tau: The cutoffs while phase 1 acted.
        epochs: Trained so far; None if unknown.
        seconds: Of training and validation so far; None if unknown.
        sessions: How often it was started; 0 if unknown.
        machine: Processor and GPUs; None if unknown.
        complete: Whether it was stopped by its limit of steps, which is an end as that of the epochs.
    """

    path: Path
    name: str
    settings: Settings
    seed: int | None
    state: str
    validations: pd.DataFrame
    levels: pd.DataFrame
    lost: int
    tau: pd.Series
    epochs: float | None
    seconds: float | None
    sessions: int
    machine: str | None
    complete: bool = False

    @property
    def finished(self) -> bool:
        """Whether it trained to its end, so that its final figures are final."""
        return self.state == "finished" or self.complete

    def validation(self, measure: str) -> pd.Series:
        """A measure of the validations that have it, by epoch."""
        return self.validations[measure].dropna()

    @property
    def final(self) -> pd.Series:
        """The last validation: its epoch and its measures."""
        return self.validations.loc[self.validation(LOSS).index[-1]]

    @property
    def best(self) -> pd.Series:
        """The validation with the least loss, whose weights the run exports."""
        return self.validations.loc[self.validation(LOSS).idxmin()]


def read_runs(given: Sequence[str]) -> tuple[list[ComparedRun], list[LeftOut]]:
    """The validated runs among and below paths, those included that have not finished, and the folders left out.

    Raises:
        ConfigError: A path does not exist.
    """
    paths, left_out = find_run_folders(given)
    runs = []
    for path in paths:
        try:
            run = _read(path)
        except (UserError, OSError) as error:
            run = f"it is damaged: {one_line(error)}"
        if isinstance(run, str):
            left_out.append(LeftOut(path, run))
        else:
            runs.append(run)
    names = short_names([run.path for run in runs])
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)], left_out


def _read(path: Path) -> ComparedRun | str:
    """A run, or why it takes no part."""
    summary = read_summary(path, strict=True)
    # A sweep notes a job there whose settings were refused.
    if not (path / CONFIG).exists() and not (path / METRICS).exists() and summary.get("error") is not None:
        return f"it failed before its training began: {str(summary['error']).rstrip('.')}"
    config, metrics, state = (
        read_config(path),
        read_metrics(path / METRICS),
        str(summary.get("state", "without a summary")),
    )
    seed, newest = config.get("seed"), metrics.newest_epoch
    one = phases_from(phases_of(path, config, metrics), newest).of("phase1")
    measured = {key: metrics.series(f"val/{key}") for key in MEASURES}
    mixed = _has_small_images(path)
    if mixed:
        measured[MS_SSIM] = measured[MS_SSIM].iloc[:0]
    if not len(measured[LOSS]):
        return f"it has no validation with a finite loss; its state is {state!r}"
    # A resumed run can have validated an epoch twice.
    validations = pd.DataFrame({key: one[~one.index.duplicated(keep="last")] for key, one in measured.items()})
    validations.insert(0, "epoch", validations.index)
    sessions, machine = read_machines(path)
    return ComparedRun(
        path=path,
        name="",
        settings=settings_of(config),
        seed=seed if isinstance(seed, int) else None,
        state=state,
        validations=validations,
        levels=_levels(metrics, float(measured[LOSS].idxmin())).assign(**({MS_SSIM: math.nan} if mixed else {})),
        lost=metrics.left_out(f"val/{LOSS}"),
        tau=one.of(metrics.series(TAU)) if one else pd.Series(dtype=float),
        epochs=_number(summary.get("epochs")) or newest or None,
        seconds=_number(summary.get("seconds")) or None,
        sessions=sessions,
        machine=machine,
        complete=bool(summary.get("complete")),
    )


def _has_small_images(path: Path) -> bool:
    """Whether a run validated images too small for MS-SSIM, as far as its samples show it.

    Runs once logged its mean over the others, beside a rate over all.
    """
    with contextlib.suppress(UserError):
        return any(min(read_size(sample.original)) < MS_SSIM_MIN_SIDE for sample in read_samples(path))
    return False


def _levels(metrics: MetricsTable, epoch: float) -> pd.DataFrame:
    """What a validation measured at each rate level."""
    rows: dict[int, dict[str, float]] = {}
    for key in ("lmbda", *MEASURES):
        for (level,), values in metrics.numbered(rf"val/level_(\d+)/{key}").items():
            # A resumed run can have validated an epoch twice.
            rows.setdefault(level, {})[key] = float(values[~values.index.duplicated(keep="last")].get(epoch, math.nan))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["lmbda", *MEASURES]).sort_index()


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say what is trained, by dotted key, without the seed.

    A group's class stands under the group's own name, which is ``off`` for an empty group. What repeats another
    setting, such as ``phase1.schedule.tau_init`` that of ``schedule.tau_init``, is left out.
    """
    flat = flatten(config)
    kept = {}
    for key, value in flat.items():
        group, _, rest = key.partition(".")
        if group in IGNORED_GROUPS or key in IGNORED_KEYS or (rest in flat and flat[rest] == value):
            continue
        kept[key.removesuffix("._target_")] = OFF if value == {} else value
    return kept


def short_names(paths: Sequence[Path]) -> list[str]:
    """A short name for every path, no two alike: the folder's, with as many parents as tell it from the others.

    Overrides that all names of a sweep share are left out.

    >>> short_names([Path("/a/x/0"), Path("/a/y/0"), Path("/a/y/1")])
    ['x/0', 'y/0', '1']
    >>> short_names([Path("/s/model=t,tau=0.1"), Path("/s/model=t,tau=0.2")])
    ['tau=0.1', 'tau=0.2']
    """
    parts = [path.absolute().parts for path in paths]
    counts = [Counter(own[-depth:] for own in parts) for depth in range(1 + max(map(len, parts), default=0))]
    names = []
    for own in parts:
        depth = 1
        while depth < len(own) and counts[depth][own[-depth:]] > 1:
            depth += 1
        names.append(printable(" ".join("/".join(own[-depth:]).split())))
    overrides = [name.split(",") for name in names]
    shared = set.intersection(*map(set, overrides)) if overrides[1:] else set()
    shorter = [",".join(part for part in own if "=" not in part or part not in shared) for own in overrides]
    if all(shorter) and len(set(shorter)) == len(set(names)):
        names = shorter
    half = MAX_LENGTH // 2
    return all_different(name if len(name) <= MAX_LENGTH else f"{name[:half]}…{name[1 - half :]}" for name in names)


def all_different(names: Iterable[str]) -> list[str]:
    """The names, repeated ones with a number."""
    taken: dict[str, None] = {}
    for name in names:
        number, own = 1, name
        while own in taken:
            number += 1
            own = f"{name} ({number})"
        taken[own] = None
    return list(taken)
