"""The report: all of its files, and where they go."""

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from hpcm_spectral.errors import ConfigError, one_line
from hpcm_spectral.reports.comparison.compare import RunComparison
from hpcm_spectral.reports.comparison.document import Picture, is_report, picture, render
from hpcm_spectral.reports.comparison.figures import PICTURES, RATE_PICTURES, draw_rate_distortion
from hpcm_spectral.reports.comparison.tables import csv_tables, readable_tables
from hpcm_spectral.reports.reference_curves import sentences

PAGE, MARKDOWN = "report.html", "report.md"


def _content(comparison: RunComparison, tables: Mapping[str, pd.DataFrame], when: datetime) -> dict[str, Any]:
    """What the templates ask for."""
    pictures: dict[str, list[Picture]] = {}
    for item in PICTURES:
        if figure := item.draw(comparison.groups):
            pictures.setdefault(item.section, []).append(picture(item.name, figure, item.caption, wide=item.wide))
    rate_pictures = []
    for name, (quality, title) in RATE_PICTURES.items():
        if figure := draw_rate_distortion(comparison.curves, quality, title=f"{title} over rate"):
            words = "a point per lambda, each run at its least loss, mean of seeds."
            rate_pictures.append(picture(name, figure, f"{title} over estimated bits per pixel: {words}"))
    return {
        **vars(comparison),
        "when": when,
        "pictures": pictures,
        "rate_pictures": rate_pictures,
        "bd_rates": [f"{c.label}: {text}" for c in comparison.curves for text in sentences(comparison.bd_rates(c))],
        "seeds": comparison.configs["final_seeds_n"].tolist(),
        **readable_tables(comparison, tables),
    }


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
    tables = csv_tables(comparison)
    content = _content(comparison, tables, when)
    files: dict[str, str | bytes] = {name: t.to_csv(index=False, lineterminator="\n") for name, t in tables.items()}
    files[MARKDOWN] = render("markdown", content)
    for shown in (content["rate_pictures"], *content["pictures"].values()):
        files |= {f"{one.name}.png": one.png for one in shown}
    files[PAGE] = render("html", content)
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
