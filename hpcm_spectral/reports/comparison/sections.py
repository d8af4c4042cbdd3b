"""The report's sections on the runs themselves and on how to read them."""

from hpcm_spectral.reports.comparison.comparison import RunComparison
from hpcm_spectral.reports.comparison.document import Block, Bullets, Section, Table, Text
from hpcm_spectral.reports.comparison.runs import LOSS
from hpcm_spectral.reports.comparison.wording import NOTHING, count, number, short

PAPER = (
    "The paper behind these regularizers reports gains on true hierarchies; on single-scale codecs, HPCM among them, "
    "its table 10 shows no gain and sometimes a loss."
)


def runs_section(comparison: RunComparison) -> Section:
    """What differs between the runs, and how each ended."""
    keys = comparison.differing
    blocks: list[Block] = []
    if not keys:
        blocks.append(Text("The configs differ in nothing but, perhaps, the seed."))
    rows = [
        (
            run.name,
            run.state,
            *(values[index] for values in keys.values()),
            NOTHING if run.seed is None else str(run.seed),
            short(run.epochs),
            number(run.seconds, 0),
        )
        for index, run in enumerate(comparison.runs)
    ]
    headings = ("run", "state", *keys, "seed", "epochs", "seconds")
    blocks.append(Table("Settings that differ, and length", headings, tuple(rows), words=2 + len(keys)))
    measured = []
    for run in comparison.runs:
        final, best = run.final, run.best
        assert final is not None
        assert best is not None
        cells = [run.name]
        for validation in (final, best):
            quality = [number(validation.psnr, 2), number(validation.ms_ssim, 2)]
            cells += [short(validation.epoch), number(validation.loss, 3), number(validation.bpp, 4), *quality]
        measured.append(tuple(cells))
    names = ("epoch", "loss", "bpp", "PSNR dB", "MS-SSIM dB")
    headings = ("run", *(f"{when} {name}" for when in ("final", "best") for name in names))
    blocks.append(Table("Last validation, and the one with the least loss", headings, tuple(measured)))
    blocks.append(Bullets(tuple(_notes(comparison))))
    return Section("runs", "Runs", tuple(blocks))


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
        if lost := run.validation(LOSS).left_out:
            notes.append(f"{run.name}: {count(lost, 'validation')} without a finite loss left out.")
    if resumed := [run.name for run in comparison.runs if run.sessions > 1]:
        notes.append(
            f"Resumed, so that seconds may be too few (a session that was killed is not counted): {', '.join(resumed)}."
        )
    return notes


def left_out_section(comparison: RunComparison) -> Section | None:
    """The folders that take no part; None if there are none."""
    if not comparison.left_out:
        return None
    rows = tuple((str(folder.path), folder.reason) for folder in comparison.left_out)
    return Section("left-out", "Left out", (Table("Folders that take no part", ("folder", "reason"), rows, words=2),))


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
    return Section("reading", "How to read this", (Bullets(tuple(points)),))
