"""The training program, and what it prints at the end of a sweep."""

from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "train.py"


def rows_of(text: str) -> dict[str, list[str]]:
    """The closing table's cells by job."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("job ") and "best val loss" in line)
    table = lines[first + 1 :]
    return {line.split()[0]: line.split()[1:] for line in table[: table.index("")]}
