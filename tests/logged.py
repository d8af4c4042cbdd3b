# What a run has logged.

import csv
from pathlib import Path


def column(folder: Path, key: str) -> list[float]:
    """The values of one column of ``metrics.csv``."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row[key]) for row in csv.DictReader(file) if row[key]]
