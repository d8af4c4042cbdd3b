"""The report: all of its files, and where they go."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from hpcm_spectral.errors import ConfigError, one_line
from hpcm_spectral.reports.comparison.compare import RunComparison
from hpcm_spectral.reports.comparison.convergence import NOT_REACHED
from hpcm_spectral.reports.comparison.document import Document, as_html, as_markdown, is_report
from hpcm_spectral.reports.comparison.figures import PICTURES, RATE_PICTURES
from hpcm_spectral.reports.comparison.sections import (
    convergence_section,
    count,
    left_out_sections,
    picture_sections,
    rate_distortion_section,
    reading_section,
    runs_section,
)

PAGE, MARKDOWN = "report.html", "report.md"
REACHES = ("final", "epochs", "speed_up", "seconds", "time_speed_up")


def report_document(comparison: RunComparison, when: datetime) -> Document:
    """The report of a comparison."""
    finished = sum(run.finished for run in comparison.runs)
    number = len(comparison.runs)
    lead = (
        f"Made on {when:%Y-%m-%d at %H:%M} from {', '.join(comparison.given)}.",
        f"{count(number, 'run')} of {count(len(comparison.groups), 'config')}, {finished} finished; "
        f"{count(len(comparison.left_out), 'folder')} left out.",
    )
    sections = [
        convergence_section(comparison),
        rate_distortion_section(comparison),
        *picture_sections(comparison),
        runs_section(comparison),
        reading_section(comparison),
        *left_out_sections(comparison),
    ]
    return Document(f"Comparison of {count(number, 'training run')}", lead, sections)


def csv_tables(comparison: RunComparison) -> dict[str, pd.DataFrame]:
    """The report's figures, unrounded, by the names of the files."""
    return {
        "runs.csv": _runs(comparison),
        "convergence.csv": _convergence(comparison),
        "rate_distortion.csv": _rate_distortion(comparison),
    }


def _table(rows: Iterable[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    # As objects, so that whole numbers stay whole beside empty cells.
    return pd.DataFrame(rows, columns=columns, dtype=object)


def _runs(comparison: RunComparison) -> pd.DataFrame:
    labels = {run.name: group.label for group in comparison.groups for run in group.runs}
    rows = []
    for index, run in enumerate(comparison.runs):
        facts: list[Any] = [
            run.name,
            labels[run.name],
            run.path,
            run.state,
            run.seed,
            run.epochs,
            run.seconds,
            run.sessions,
        ]
        settings = [values[index] for values in comparison.differing.values()]
        rows.append([*facts, *run.final, *run.best, *settings])
    names = ["run", "config", "folder", "state", "seed", "epochs", "seconds", "sessions"]
    measures = ("epoch", "loss", "bpp", "psnr", "ms_ssim_db")
    names += [f"{when}_{name}" for when in ("final", "best") for name in measures]
    return _table(rows, [*names, *comparison.differing])


def _convergence(comparison: RunComparison) -> pd.DataFrame:
    """A row per run, then one per config: its mean curve, and mean and deviation of the seeds that have a figure."""
    rows = []
    for group in comparison.convergence:
        label, base = group.group.label, group.baseline.label if group.baseline else ""
        for reach in (*group.runs, group.mean):
            run = reach.run
            row: list[Any] = ["run", label, run.name, run.seed] if run else ["config", label, "", ""]
            row += [base, group.target, group.epochs, comparison.window]
            for name in REACHES:
                seeds = (None, None, None) if run else group.spread(name) or (None, None, 0)
                row += [getattr(reach, name), *seeds]
            rows.append([*row, group.reason or (NOT_REACHED if reach.epochs is None else reach.without_time)])
    facts = ["level", "config", "run", "seed", "baseline", "target_loss", "baseline_epochs", "smoothing"]
    figures = [f"{name}{of}" for name in REACHES for of in ("", "_seeds_mean", "_seeds_deviation", "_seeds_n")]
    return _table(rows, [*facts, *figures, "note"])


def _rate_distortion(comparison: RunComparison) -> pd.DataFrame:
    """A row per point; the curve's BD-rates stand in each of its rows."""
    rows = []
    for curve in comparison.curves:
        bd: list[Any] = []
        found = {one.measure: one for one in comparison.bd_rates(curve)}
        for measure in ("PSNR", "MS-SSIM"):
            one = found.get(measure)
            bd += [one.result.percent if one and one.result else None, one.reason if one else ""]
        for point in curve.points:
            rows.append([curve.label, point.lmbda, len(point.group.finished), *point.means, point.group.label, *bd])
    bd = [f"bd_rate_{measure}_{what}" for measure in ("psnr", "ms_ssim") for what in ("percent", "note")]
    return _table(rows, ["curve", "lmbda", "n", "bpp", "psnr", "ms_ssim_db", "config", *bd])


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something else, or an earlier report that is not to be replaced.

    Raises:
        ConfigError: It does.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output must name a folder, but {folder} is a file; choose another.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    page = folder / PAGE
    if not (page.is_file() and is_report(page.read_text(encoding="utf-8", errors="replace")[:2000])):
        raise ConfigError(f"output must name a new folder, but {folder} holds other files; choose another.")
    if not overwrite:
        raise ConfigError(
            f"output must name a new folder, but {folder} holds an earlier report; choose another, or replace it with "
            "overwrite=true."
        )


def write_report(folder: Path, comparison: RunComparison, when: datetime) -> list[str]:
    """Write ``report.html``, ``report.md`` with its pictures, and the CSV tables; an earlier report's are replaced.

    All are complete before the first is put in place, and ``report.html`` is the last.

    Args:
        folder: Where; made if there is none.
        comparison: What to report.
        when: The time to state.

    Returns:
        The names of the files.

    Raises:
        ConfigError: The folder cannot be written.
    """
    document = report_document(comparison, when)
    tables = csv_tables(comparison)
    files: dict[str, str | bytes] = {name: t.to_csv(index=False, lineterminator="\n") for name, t in tables.items()}
    files |= {MARKDOWN: as_markdown(document), **{f"{item.name}.png": item.png for item in document.pictures}}
    files[PAGE] = as_html(document)
    try:
        _put(files, folder)
    except OSError as error:
        # The system names a temporary file.
        raise ConfigError(
            f"output must be a folder that can be written, but {folder} cannot: {error.strerror or one_line(error)}; "
            "choose another."
        ) from error
    return list(files)


def _put(files: Mapping[str, str | bytes], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode("utf-8", errors="replace")
            (Path(beside) / name).write_bytes(data)
        folder.mkdir(exist_ok=True)
        for stale in (*(item.name for item in PICTURES), *RATE_PICTURES):
            (folder / f"{stale}.png").unlink(missing_ok=True)
        for name in files:
            (Path(beside) / name).replace(folder / name)
