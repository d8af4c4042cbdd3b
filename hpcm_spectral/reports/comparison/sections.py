"""The words and tables of a report, section by section."""

import math
from collections.abc import Mapping

import pandas as pd

from hpcm_spectral.reports.comparison.compare import RunComparison
from hpcm_spectral.reports.comparison.convergence import NOT_REACHED, GroupConvergence, Spread
from hpcm_spectral.reports.comparison.document import Block, Picture, Section, Table, picture
from hpcm_spectral.reports.comparison.figures import PICTURES, RATE_PICTURES, draw_rate_distortion
from hpcm_spectral.reports.reference_curves import sentences

NOTHING = "-"
CONVERGENCE = (
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
PAPER = (
    "The paper behind these regularizers reports gains on true hierarchies; on single-scale codecs, HPCM among them, "
    "its table 10 shows no gain and sometimes a loss."
)


def number(value: float | None, digits: int) -> str:
    """A number, or a dash where there is none."""
    return NOTHING if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def short(value: float | None) -> str:
    """A number of four digits, or a dash.

    >>> short(1234.5), short(0.12345), short(None)
    ('1,234', '0.1235', '-')
    """
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def count(things: int, name: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{things} {name}{'' if things == 1 else 's'}"


def convergence_section(comparison: RunComparison) -> Section:
    """Epochs and seconds to the baseline's final loss."""
    if comparison.baseline is None:
        return Section("Convergence", ["No run has finished, so there is no final loss to reach."])
    names = ", ".join(group.label for group in comparison.baseline.groups)
    finals = {row.group.label: row.spread("final") for row in comparison.convergence}
    rows = [_convergence_row(row, finals) for row in comparison.convergence]
    window = comparison.window
    smoothing = "as validated, not smoothed" if window == 1 else f"smoothed: the centred mean of {window} validations"
    method = (
        f"Losses are {smoothing}{', fewer at both ends' * (window > 1)}. Speed-up is the baseline's epochs to its "
        "final loss over the run's to the same loss, the paper's definition; above 1 the run is faster. What counts is "
        "where a curve first is at or below that loss, interpolated linearly between validations. Seconds are "
        "the run's, validation included, in proportion to its epochs."
    )
    table = Table("Convergence to the baseline's final loss", CONVERGENCE, rows, words=2)
    return Section("Convergence", [f"Baseline: {names} ({comparison.baseline.why}).", table, method, SPREADS])


def _convergence_row(row: GroupConvergence, finals: Mapping[str, Spread | None]) -> list[str]:
    base, final = row.baseline, row.spread("final")
    compared = "(baseline)" if base is row.group else base.label if base else row.reason
    cells = [row.group.label, compared, str(len(row.runs)), _spread(final, 3)]
    other = finals[base.label] if base and base is not row.group else None
    if final is None or other is None:
        cells += [NOTHING, NOTHING]
    else:
        difference, ranges = final.mean - other.mean, "unknown"
        if final.deviation is not None and other.deviation is not None:
            ranges = "apart" if abs(difference) > final.deviation + other.deviation else "overlap"
        cells += [f"{difference:+.3f}", ranges]
    if base is None:
        return [*cells, *[NOTHING] * 5]
    mean = row.mean
    seeds = f"{row.reached} of {len(row.runs)} reached"
    if row.reached == len(row.runs):
        seeds = _spread(row.spread("speed_up"), 2)
    if mean.epochs is None:
        return [*cells, NOT_REACHED, NOTHING, seeds, NOTHING, NOTHING]
    times = [mean.without_time or number(mean.seconds, 0), mean.without_time or number(mean.time_speed_up, 2)]
    return [*cells, number(mean.epochs, 2), number(mean.speed_up, 2), seeds, *times]


def _spread(spread: Spread | None, digits: int) -> str:
    """Mean and standard deviation."""
    if spread is None:
        return NOTHING
    return number(spread.mean, digits) + ("" if spread.deviation is None else f" ± {number(spread.deviation, digits)}")


def rate_distortion_section(comparison: RunComparison) -> Section:
    """Curves of runs that differ by lambda, and their BD-rates."""
    if not comparison.curves:
        text = "No finished runs differ by loss.lmbda alone, so there is no curve of rate and distortion."
        return Section("Rate and distortion", [text])
    pictures = []
    for name, (quality, title) in RATE_PICTURES.items():
        figure = draw_rate_distortion(comparison.curves, quality, title=f"{title} over rate")
        if figure is not None:
            words = "a point per lambda, each run at its least loss, mean of seeds."
            pictures.append(picture(name, figure, f"{title} over estimated bits per pixel: {words}"))
    rows = []
    for curve in comparison.curves:
        for point in curve.points:
            bpp, psnr, ms_ssim = point.means
            figures = [number(bpp, 4), number(psnr, 2), number(ms_ssim, 2)]
            rows.append([curve.label, short(point.lmbda), str(len(point.group.finished)), *figures])
    table = Table("Points", ("curve", "lambda", "n", "bpp", "PSNR dB", "MS-SSIM dB"), rows)
    blocks: list[Block] = [tuple(pictures)] if pictures else []
    return Section("Rate and distortion", [*blocks, _bd_rates(comparison), table])


def _bd_rates(comparison: RunComparison) -> list[str]:
    base = comparison.base_curve
    if base is None:
        return ["No BD-rate: the baseline was trained for one lambda only, which makes no curve."]
    lines = [
        f"BD-rate is the mean difference of rate at equal quality against {base.label}; negative where a curve needs "
        "fewer bits. It is of estimated rates in validation; scripts/evaluate.py gives that of real files."
    ]
    for curve in comparison.curves:
        lines += [f"{curve.label}: {sentence}" for sentence in sentences(comparison.bd_rates(curve))]
    return lines if lines[1:] else [f"No BD-rate: there is no curve beside the baseline's, {base.label}."]


def picture_sections(comparison: RunComparison) -> list[Section]:
    """A section for every heading in `PICTURES` that has something to show."""
    drawn: dict[str, list[Picture]] = {}
    for item in PICTURES:
        figure = item.draw(comparison.groups)
        if figure is not None:
            drawn.setdefault(item.section, []).append(picture(item.name, figure, item.caption, wide=item.wide))
    return [Section(heading, [tuple(pictures)]) for heading, pictures in drawn.items()]


def runs_section(comparison: RunComparison) -> Section:
    """What differs between the runs, and how each ended."""
    keys = comparison.differing
    blocks: list[Block] = [] if keys else ["The configs differ in nothing but, perhaps, the seed."]
    rows, measured = [], []
    for index, run in enumerate(comparison.runs):
        settings = [values[index] for values in keys.values()]
        seed = NOTHING if run.seed is None else str(run.seed)
        rows.append([run.name, run.state, *settings, seed, short(run.epochs), number(run.seconds, 0)])
        measured.append([run.name, *_measures(run.final), *_measures(run.best)])
    headings = ("run", "state", *keys, "seed", "epochs", "seconds")
    blocks.append(Table("Settings that differ, and length", headings, rows, words=2 + len(keys)))
    names = ("epoch", "loss", "bpp", "PSNR dB", "MS-SSIM dB")
    headings = ("run", *(f"{when} {name}" for when in ("final", "best") for name in names))
    blocks.append(Table("Last validation, and the one with the least loss", headings, measured))
    return Section("Runs", [*blocks, _notes(comparison)])


def _measures(validation: pd.Series) -> list[str]:
    epoch, loss, bpp, psnr, ms_ssim = validation
    return [short(epoch), number(loss, 3), number(bpp, 4), number(psnr, 2), number(ms_ssim, 2)]


def _notes(comparison: RunComparison) -> list[str]:
    notes = [
        "Validation uses full photographs and no stage, so its loss is free of the regularizers' own terms. bpp is "
        "estimated by the model; scripts/evaluate.py measures real files. The best validation's weights are the ones "
        "that a run exports.",
    ]
    if open_runs := [f"{run.name} ({run.state})" for run in comparison.runs if not run.finished]:
        notes.append(
            f"Not finished, so listed and drawn but not compared: {', '.join(open_runs)}. A run that was killed stays "
            "'running'."
        )
    for run in comparison.runs:
        if run.lost:
            notes.append(f"{run.name}: {count(run.lost, 'validation')} without a finite loss left out.")
    if resumed := [run.name for run in comparison.runs if run.sessions > 1]:
        notes.append(
            f"Resumed, so that seconds may be too few (a session that was killed is not counted): {', '.join(resumed)}."
        )
    return notes


def reading_section(comparison: RunComparison) -> Section:
    """What the figures can and cannot say."""
    counts = [len(row.runs) for row in comparison.convergence]
    single = sum(number == 1 for number in counts)
    points = []
    if counts and single == len(counts):
        points.append(
            "Every config has one finished seed (n = 1). How far two runs of one config differ by chance is then not "
            "known, and differences of this size may be nothing else: they prove nothing."
        )
    elif counts:
        some = f"{single} of {len(counts)} configs have one finished seed; theirs prove nothing. " if single else ""
        points.append(
            f"{some}± is the standard deviation over n seeds (n - 1 in its denominator). A difference within it proves "
            "nothing, and with few seeds one that is larger proves little."
        )
    points += [
        "Where runs differ in more than one setting, none of them is shown to be the cause.",
        "Seconds are those of the machine at the time: another load or machine changes them, epochs not.",
        PAPER,
    ]
    return Section("How to read this", [points])


def left_out_sections(comparison: RunComparison) -> list[Section]:
    """The folders that take no part, if there are any."""
    rows = [(str(folder.path), folder.reason) for folder in comparison.left_out]
    table = Table("Folders that take no part", ("folder", "reason"), rows, words=2)
    return [Section("Left out", [table])] if rows else []
