"""The report's section on speed-up."""

from hpcm_spectral.reports.comparison.comparison import RunComparison
from hpcm_spectral.reports.comparison.convergence import GroupConvergence, Spread
from hpcm_spectral.reports.comparison.document import Block, Bullets, Section, Table, Text
from hpcm_spectral.reports.comparison.wording import number, reached_text, spread_text

HEADINGS = (
    "config",
    "compared with",
    "n",
    "final loss",
    "epochs to target",
    "speed-up, epochs",
    "seconds to target",
    "speed-up, seconds",
)


def convergence_section(comparison: RunComparison) -> Section:
    """Epochs and seconds to the baseline's final loss."""
    blocks: list[Block] = []
    if comparison.baseline is None:
        blocks.append(Text("No run has finished, so there is no final loss to reach."))
    else:
        names = ", ".join(group.label for group in comparison.baseline.groups)
        blocks.append(Text(f"Baseline: {names} ({comparison.baseline.why})."))
        blocks.append(Bullets((*_targets(comparison), _method(comparison.window), *_spreads(comparison))))
        rows = tuple(_row(row) for row in comparison.convergence)
        blocks.append(Table("Convergence to the baseline's final loss", HEADINGS, rows, words=2))
    return Section("convergence", "Convergence", tuple(blocks))


def _method(window: int) -> str:
    smoothing = "as validated, not smoothed" if window == 1 else f"smoothed: the centred mean of {window} validations"
    return (
        f"Losses are {smoothing}{', fewer at both ends' * (window > 1)}. Speed-up is the baseline's epochs to its final "
        "loss over the run's to the same loss, the paper's definition; above 1 the run is faster. What counts is where "
        "a curve first is at or below that loss, interpolated linearly between validations. Seconds are the run's, "
        "validation included, in proportion to its epochs."
    )


def _targets(comparison: RunComparison) -> list[str]:
    targets = {}
    for row in comparison.convergence:
        if row.baseline is not None and row.baseline.label not in targets:
            seeds = len(row.baseline.finished)
            how = f", the mean of {seeds} seeds, which their mean curve reaches" if seeds > 1 else ", which it reaches"
            targets[row.baseline.label] = (
                f"Target of {row.baseline.label}: final loss {number(row.target, 4)}{how} at epoch {number(row.epochs, 2)}."
            )
    return list(targets.values())


def _row(row: GroupConvergence) -> tuple[str, ...]:
    base = "(baseline)" if row.baseline is row.group else row.baseline.label if row.baseline else row.reason
    return (
        row.group.label,
        base,
        str(len(row.runs)),
        spread_text(row.spread("final"), 3),
        reached_text(row, "epochs", 2),
        reached_text(row, "speed_up", 2),
        reached_text(row, "seconds", 0),
        reached_text(row, "time_speed_up", 2),
    )


def _spreads(comparison: RunComparison) -> list[str]:
    """Whether final losses differ by more than their spread, where there is any."""
    finals = {row.group.label: row.spread("final") for row in comparison.convergence}
    notes = []
    for row in comparison.convergence:
        if row.baseline is None or row.baseline is row.group:
            continue
        own, base = finals[row.group.label], finals[row.baseline.label]
        if isinstance(own, Spread) and isinstance(base, Spread) and own.deviation is not None and base.deviation is not None:
            difference = own.mean - base.mean
            apart = abs(difference) > own.deviation + base.deviation
            verdict = "do not overlap" if apart else "overlap, so no difference is shown"
            notes.append(
                f"{row.group.label}: final loss {difference:+.3f} against {row.baseline.label}; the ranges mean ± "
                f"standard deviation (n = {own.count} and {base.count}) {verdict}."
            )
    return notes
