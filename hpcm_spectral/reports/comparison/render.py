"""A report as one self-contained HTML page and as Markdown."""

import base64
import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hpcm_spectral.reports.comparison.document import Block, Bullets, Document, Gallery, Picture, Table, Text

# By this an earlier report is known.
GENERATOR = "hpcm-spectral report"


def as_html(document: Document) -> str:
    """One page without scripts that needs no other file and no network."""
    environment = Environment(
        loader=PackageLoader("hpcm_spectral.reports.comparison"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests |= {
        "bullets": lambda block: isinstance(block, Bullets),
        "table": lambda block: isinstance(block, Table),
        "gallery": lambda block: isinstance(block, Gallery),
    }
    environment.filters |= {"data_uri": _data_uri, "breakable": _breakable}
    return environment.get_template("report.html.j2").render(document=document, generator=GENERATOR)


def as_markdown(document: Document) -> str:
    """The same as Markdown; its pictures are files ``NAME.png`` beside it."""
    parts = [f"# {_escaped(document.title)}", *map(_escaped, document.lead)]
    for section in document.sections:
        parts += [f"## {_escaped(section.heading)}", *(_block(block) for block in section.blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Text():
            return _escaped(block.text)
        case Bullets():
            return "\n".join(f"- {_escaped(item)}" for item in block.items)
        case Table():
            rule = [":--" if index < block.words else "--:" for index in range(len(block.headings))]
            lines = [map(_escaped, block.headings), rule, *(map(_escaped, row) for row in block.rows)]
            table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
            return f"**{_escaped(block.caption)}**\n\n{table}"
        case Gallery():
            return "\n\n".join(
                f"![{_escaped(p.caption)}]({p.name}.png)\n\n{_escaped(p.caption)}" for p in block.pictures
            )


def _escaped(text: str) -> str:
    r"""Text that Markdown shows as it is.

    >>> print(_escaped("a_b|<c>"))
    a\_b\|\<c\>
    """
    text = re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", " ".join(text.split()))
    return re.sub(r"^([-+]|\d+[.)])(?= |$)", r"\\\1", text)


def _data_uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"


def _breakable(text: str) -> Markup:
    """Text that may be broken where names of runs and folders have their parts."""
    return Markup("<wbr>".join(map(escape, re.split(r"(?<=[,/_])(?=.)", text))))


def is_report(html: str) -> bool:
    """Whether a page was made here."""
    return f'<meta name="generator" content="{GENERATOR}">' in html
