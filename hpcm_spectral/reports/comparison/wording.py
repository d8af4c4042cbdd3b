"""Figures as people read them."""

from hpcm_spectral.reports.comparison.convergence import NOT_REACHED, GroupConvergence, Spread

NOTHING = "-"


def number(value: float | None, digits: int) -> str:
    """A number, or a dash."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def short(value: float | None) -> str:
    """A number of four digits, or a dash.

    >>> short(1234.5), short(0.12345), short(None)
    ('1,234', '0.1235', '-')
    """
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def spread_text(spread: Spread | None, digits: int) -> str:
    """Mean and standard deviation."""
    if spread is None:
        return NOTHING
    deviation = "" if spread.deviation is None else f" ± {spread.deviation:,.{digits}f}"
    return f"{spread.mean:,.{digits}f}{deviation}"


def reached_text(row: GroupConvergence, figure: str, digits: int) -> str:
    """A figure of the mean curve that exists only where that reaches the target."""
    if row.baseline is None:
        return NOTHING
    if row.mean.epochs is None:
        return NOT_REACHED if figure == "epochs" else NOTHING
    value = getattr(row.mean, figure)
    return row.mean.without_time if value is None else number(value, digits)


def seeds_text(row: GroupConvergence) -> str:
    """Mean and standard deviation of the seeds' own speed-ups, or how many have one."""
    if row.baseline is None:
        return NOTHING
    if row.reached < len(row.runs):
        return f"{row.reached} of {len(row.runs)} reached"
    return spread_text(row.spread("speed_up"), 2)


def count(things: int, name: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{things} {name}{'' if things == 1 else 's'}"
