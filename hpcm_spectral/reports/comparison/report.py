"""A report as one HTML page and as Markdown, with pictures and tables; what it says stands in ``report.j2``."""

import base64
import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hpcm_spectral.errors import ConfigError, one_line
from hpcm_spectral.reports.comparison.compare import RunComparison
from hpcm_spectral.reports.comparison.figures import PICTURES, RATE_SECTION
from hpcm_spectral.reports.comparison.tables import NO_CURVE, csv_tables, readable_tables
from hpcm_spectral.reports.rate_distortion import sentences

PAGE, MARKDOWN = "report.html", "report.md"
DPI = 160
# In the page's head, so that it is known again.
MARK = '<meta name="generator" content="hpcm-spectral report">'


class Picture(NamedTuple):
    """A picture of a report, as in `figures.RunPicture`, and its PNG file's content."""

    name: str
    caption: str
    wide: bool
    png: bytes

    @property
    def data_uri(self) -> str:
        """The picture within a page."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


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
    if not (page.is_file() and MARK in page.read_text(encoding="utf-8", errors="replace")[:2000]):
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
    pictures = _pictures(comparison)
    files: dict[str, str | bytes] = {name: t.to_csv(index=False, lineterminator="\n") for name, t in tables.items()}
    files |= {f"{one.name}.png": one.png for drawn in pictures.values() for one in drawn}
    content = {
        **vars(comparison),
        "when": when,
        "pictures": {section: drawn for section, drawn in pictures.items() if section != RATE_SECTION},
        "rate_pictures": pictures.get(RATE_SECTION, []),
        "bd_rates": [f"{c.label}: {text}" for c in comparison.curves for text in sentences(comparison.bd_rates(c))],
        "no_curve": NO_CURVE,
        "seeds": comparison.configs["final_seeds_n"].tolist(),
        **readable_tables(comparison, tables),
    }
    files |= {MARKDOWN: _render("markdown", content), PAGE: _render("html", content)}
    try:
        _put(files, folder)
    except OSError as error:
        # The system names a temporary file.
        raise ConfigError(
            f"output must be a folder that can be written, but {folder} cannot: {error.strerror or one_line(error)}; "
            "choose another."
        ) from error
    return list(files)


def _pictures(comparison: RunComparison) -> dict[str, list[Picture]]:
    """The pictures by their sections."""
    pictures: dict[str, list[Picture]] = {}
    for item in PICTURES:
        if figure := item.draw(comparison):
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=DPI)
            picture = Picture(item.name, item.caption, item.wide, content.getvalue())
            pictures.setdefault(item.section, []).append(picture)
    return pictures


def _put(files: Mapping[str, str | bytes], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode("utf-8", errors="backslashreplace")
            (Path(beside) / name).write_bytes(data)
        folder.mkdir(exist_ok=True)
        for item in PICTURES:
            (folder / f"{item.name}.png").unlink(missing_ok=True)
        for name in files:
            (Path(beside) / name).replace(folder / name)


def _render(form: Literal["html", "markdown"], content: dict[str, Any]) -> str:
    """The report: one page without scripts that needs no other file and no network, or Markdown beside its pictures."""
    environment = Environment(
        loader=PackageLoader("hpcm_spectral.reports.comparison"),
        autoescape=form == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": _count,
        "md": _markdown,
        # Where names of runs and folders have their parts.
        "breakable": lambda text: Markup("<wbr>".join(map(escape, re.split(r"(?<=[,/_])(?=.)", text)))),
        "anchor": lambda heading: heading.lower().replace(" and ", "-").replace(" ", "-"),
        "stated": lambda run: f"{run.name} ({run.state})",
    }
    text = environment.get_template("report.j2").render(format=form, **content)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _count(things: Sequence[Any] | int, name: str) -> str:
    """``1 run``, ``2 runs``."""
    number = things if isinstance(things, int) else len(things)
    return f"{number} {name}{'' if number == 1 else 's'}"


def _markdown(text: str) -> str:
    r"""Text that Markdown shows as it is.

    >>> print(_markdown("a_b|<c>"))
    a\_b\|\<c\>
    """
    text = re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", " ".join(text.split()))
    return re.sub(r"^([-+]|\d+[.)])(?= |$)", r"\\\1", text)
