"""A report as text, tables and pictures, before it is HTML or Markdown."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

DPI = 160


@dataclass(frozen=True)
class Text:
    """A paragraph, without any markup."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        headings: Of its columns; the first column names the rows.
        rows: Cells.
        words: Columns of words, from the left; those after them are of numbers.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
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


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, as far as there is room."""

    pictures: tuple[Picture, ...]


Block = Text | Bullets | Table | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading.

    Attributes:
        key: Its anchor.
        heading: Its heading.
        blocks: Its content.
    """

    key: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole report.

    Attributes:
        title: Its heading.
        lead: Sentences below it.
        sections: Its parts.
    """

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> list[Picture]:
        """All of its pictures."""
        galleries = [block for section in self.sections for block in section.blocks if isinstance(block, Gallery)]
        return [picture for gallery in galleries for picture in gallery.pictures]


def picture(name: str, figure: Figure, caption: str, *, wide: bool = False) -> Picture:
    """A figure as a picture."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return Picture(name, caption, content.getvalue(), wide)


def gallery(pictures: Sequence[Picture]) -> list[Block]:
    """Pictures as a block; nothing if there are none."""
    return [Gallery(tuple(pictures))] if pictures else []
