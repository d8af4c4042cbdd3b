"""A report as text, tables and pictures, and its two renderings: one HTML page, and Markdown."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

DPI = 160
# By this an earlier report is known.
GENERATOR = "hpcm-spectral report"


class Table(NamedTuple):
    """A table whose first column names the rows; the first ``words`` columns are of words, the others of numbers."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Picture:
    """A picture.

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


# A paragraph, a list of sentences, a table, or pictures side by side as far as there is room; without any markup.
Block = str | list[str] | Table | tuple[Picture, ...]


class Section(NamedTuple):
    """A part of the report with a heading."""

    heading: str
    blocks: Sequence[Block]

    @property
    def key(self) -> str:
        """Its anchor."""
        return self.heading.lower().replace(" and ", "-").replace(" ", "-")


class Document(NamedTuple):
    """The whole report: its heading, sentences below it, its parts."""

    title: str
    lead: Sequence[str]
    sections: Sequence[Section]

    @property
    def pictures(self) -> list[Picture]:
        """All of its pictures."""
        blocks = (block for section in self.sections for block in section.blocks)
        return [item for block in blocks if _kind(block) == "gallery" for item in block if isinstance(item, Picture)]


def picture(name: str, figure: Figure, caption: str, *, wide: bool = False) -> Picture:
    """A figure as a picture."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return Picture(name, caption, content.getvalue(), wide)


def as_html(document: Document) -> str:
    """One page without scripts that needs no other file and no network."""
    return _render("report.html.j2", document, escaped=True)


def as_markdown(document: Document) -> str:
    """The same as Markdown; its pictures are files ``NAME.png`` beside it."""
    return _render("report.md.j2", document, escaped=False)


def is_report(html: str) -> bool:
    """Whether a page was made here."""
    return f'<meta name="generator" content="{GENERATOR}">' in html


def _render(template: str, document: Document, *, escaped: bool) -> str:
    environment = Environment(
        loader=PackageLoader("hpcm_spectral.reports.comparison"),
        autoescape=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"kind": _kind, "data_uri": _data_uri, "breakable": _breakable, "md": _markdown}
    return environment.get_template(template).render(document=document, generator=GENERATOR)


def _kind(block: Block) -> str:
    if isinstance(block, Table):
        return "table"
    return {str: "text", list: "bullets", tuple: "gallery"}[type(block)]


def _markdown(text: str) -> str:
    r"""Text that Markdown shows as it is.

    >>> print(_markdown("a_b|<c>"))
    a\_b\|\<c\>
    """
    text = re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", " ".join(text.split()))
    return re.sub(r"^([-+]|\d+[.)])(?= |$)", r"\\\1", text)


def _data_uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"


def _breakable(text: str) -> Markup:
    """Text that may be broken where names of runs and folders have their parts."""
    return Markup("<wbr>".join(map(escape, re.split(r"(?<=[,/_])(?=.)", text))))
