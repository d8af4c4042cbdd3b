"""A report as one HTML page and as Markdown; what it says stands in ``templates/report.j2``."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

DPI = 160


@dataclass(frozen=True)
class Picture:
    """A picture of a report.

    Attributes:
        name: Of its file, without a suffix.
        caption: What it shows, also for those who cannot see it.
        png: The file's content.
        wide: Whether it needs the page's whole width.
    """

    name: str
    caption: str
    png: bytes
    wide: bool = False

    @property
    def data_uri(self) -> str:
        """The picture within a page."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def picture(name: str, figure: Figure, caption: str, *, wide: bool = False) -> Picture:
    """A figure as a picture."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return Picture(name, caption, content.getvalue(), wide)


def render(form: Literal["html", "markdown"], content: dict[str, Any]) -> str:
    """The report: one page without scripts that needs no other file and no network, or Markdown beside its pictures."""
    environment = Environment(
        loader=PackageLoader("hpcm_spectral.reports.comparison"),
        autoescape=form == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "md": _markdown, "breakable": _breakable, "anchor": _anchor}
    environment.filters["stated"] = lambda run: f"{run.name} ({run.state})"
    text = environment.get_template("report.j2").render(format=form, **content)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def is_report(html: str) -> bool:
    """Whether a page was made here."""
    return '<meta name="generator" content="hpcm-spectral report">' in html


def count(things: Sequence[Any] | int, name: str) -> str:
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


def _breakable(text: str) -> Markup:
    """Text that may be broken where names of runs and folders have their parts."""
    return Markup("<wbr>".join(map(escape, re.split(r"(?<=[,/_])(?=.)", text))))


def _anchor(heading: str) -> str:
    return heading.lower().replace(" and ", "-").replace(" ", "-")
