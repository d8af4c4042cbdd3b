"""The report: all of its files, and where they go."""

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from hpcm_spectral.errors import ConfigError, one_line
from hpcm_spectral.reports.comparison.comparison import RunComparison
from hpcm_spectral.reports.comparison.convergence_section import convergence_section
from hpcm_spectral.reports.comparison.csv_tables import csv_tables
from hpcm_spectral.reports.comparison.document import Document
from hpcm_spectral.reports.comparison.picture_sections import PICTURES, rate_distortion_section, run_picture_sections
from hpcm_spectral.reports.comparison.render import as_html, as_markdown, is_report
from hpcm_spectral.reports.comparison.sections import left_out_section, reading_section, runs_section
from hpcm_spectral.reports.comparison.wording import count

PAGE, MARKDOWN = "report.html", "report.md"


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
        *run_picture_sections(comparison),
        runs_section(comparison),
        reading_section(comparison),
        left_out_section(comparison),
    ]
    title = f"Comparison of {count(number, 'training run')}"
    return Document(title, lead, tuple(section for section in sections if section is not None))


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
    files: dict[str, str | bytes] = {**csv_tables(comparison), MARKDOWN: as_markdown(document)}
    files |= {f"{picture.name}.png": picture.png for picture in document.pictures}
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
        for stale in {f"{item.name}.png" for item in PICTURES} | {"rd_psnr.png", "rd_ms_ssim.png"}:
            (folder / stale).unlink(missing_ok=True)
        for name in files:
            (Path(beside) / name).replace(folder / name)
