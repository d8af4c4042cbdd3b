"""The report's section on speed-up."""

from collections.abc import Mapping

from hpcm_spectral.reports.comparison.comparison import RunComparison
from hpcm_spectral.reports.comparison.convergence import GroupConvergence, Spread
from hpcm_spectral.reports.comparison.document import Block, Section, Table, Text
from hpcm_spectral.reports.comparison.wording import NOTHING, reached_text, seeds_text, spread_text

HEADINGS = (
    "config",
    "compared with",
    "n",
    "final loss",
    "minus baseline",
    "mean ± sd ranges",
    "epochs to target",
    "speed-up, epochs",
    "of each seed",
    "seconds to target",
    "speed-up, seconds",
)
SPREADS = (
    "Of several seeds, the figures are those of their mean curve, the baseline's as well, and ± is the standard "
    "deviation (sd) over the n seeds. 'of each seed' is the mean of the seeds' own speed-ups where all of them reached "
    "the target; a mean of those that did would flatter. 'overlap': the ranges mean ± sd of the two final losses "
    "overlap, so no difference is shown; 'apart': they do not; 'unknown': a config has one seed. 'other loss', 'other "
    "data', 'other model': the validation losses do not compare."
)


def convergence_section(comparison: RunComparison) -> Section:
    """Epochs and seconds to the baseline's final loss."""
    blocks: list[Block] = []
    if comparison.baseline is None:
        blocks.append(Text("No run has finished, so there is no final loss to reach."))
    else:
        names = ", ".join(group.label for group in comparison.baseline.groups)
        blocks.append(Text(f"Baseline: {names} ({comparison.baseline.why})."))
        finals = {row.group.label: row.spread("final") for row in comparison.convergence}
        rows = tuple(_row(row, finals) for row in comparison.convergence)
        blocks.append(Table("Convergence to the baseline's final loss", HEADINGS, rows, words=2))
        blocks.append(Text(_method(comparison.window)))
        blocks.append(Text(SPREADS))
    return Section("convergence", "Convergence", tuple(blocks))


def _method(window: int) -> str:
    smoothing = "as validated, not smoothed" if window == 1 else f"smoothed: the centred mean of {window} validations"
    return (
        f"Losses are {smoothing}{', fewer at both ends' * (window > 1)}. Speed-up is the baseline's epochs to its "
        "final loss over the run's to the same loss, the paper's definition; above 1 the run is faster. What counts is "
        "where a curve first is at or below that loss, interpolated linearly between validations. Seconds are "
        "the run's, validation included, in proportion to its epochs."
    )


def _row(row: GroupConvergence, finals: Mapping[str, Spread | None]) -> tuple[str, ...]:
    base = "(baseline)" if row.baseline is row.group else row.baseline.label if row.baseline else row.reason
    base_loss = finals[row.baseline.label] if row.baseline and row.baseline is not row.group else None
    return (
        row.group.label,
        base,
        str(len(row.runs)),
        spread_text(row.spread("final"), 3),
        *_difference(row.spread("final"), base_loss),
        reached_text(row, "epochs", 2),
        reached_text(row, "speed_up", 2),
        seeds_text(row),
        reached_text(row, "seconds", 0),
        reached_text(row, "time_speed_up", 2),
    )


def _difference(own: Spread | None, base: Spread | None) -> tuple[str, str]:
    """Difference of two final losses, and whether it is larger than their spreads."""
    if own is None or base is None:
        return NOTHING, NOTHING
    difference = own.mean - base.mean
    if own.deviation is None or base.deviation is None:
        return f"{difference:+.3f}", "unknown"
    return f"{difference:+.3f}", "apart" if abs(difference) > own.deviation + base.deviation else "overlap"
