"""Tables as plain text."""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table


def text_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A table as text, as wide as its cells need: nothing is cut off or broken, and nothing coloured.

    Args:
        headings: Of the columns.
        rows: Their cells.
        words: How many of the first columns hold words and are set left; numbers are set right.

    Example:
        >>> print(text_table(["job", "loss"], [["a", "0.5000"], ["[b]", "12.25"]]))
        job    loss
        a    0.5000
        [b]   12.25
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=None)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < words else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    console = Console(file=text, width=10**5, color_system=None, markup=False, highlight=False, emoji=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
