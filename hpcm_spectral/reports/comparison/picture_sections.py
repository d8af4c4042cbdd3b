"""The report's sections of pictures: curves against epochs, rate and distortion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from hpcm_spectral.reports.comparison.comparison import RunComparison
from hpcm_spectral.reports.comparison.document import Block, Bullets, Picture, Section, Table, Text, gallery, picture
from hpcm_spectral.reports.comparison.figures import draw_rate_distortion_of, draw_tau_of, draw_validation_of
from hpcm_spectral.reports.comparison.groups import Group
from hpcm_spectral.reports.comparison.runs import BPP, LOSS, MS_SSIM, PSNR
from hpcm_spectral.reports.comparison.spectra import draw_spectra_of
from hpcm_spectral.reports.comparison.wording import number, short
from hpcm_spectral.reports.reference_curves import MS_SSIM_DB, sentences
from hpcm_spectral.reports.reference_curves import PSNR as PSNR_RGB


@dataclass(frozen=True)
class RunPicture:
    """A picture of all runs.

    Attributes:
        section: The heading that it stands under.
        name: Of its file, without a suffix.
        caption: What it shows.
        draw: Draws it from all groups of runs, whose ``runs`` know their folders; None if these have nothing to draw.
        wide: Whether it needs the page's whole width.
    """

    section: str
    name: str
    caption: str
    draw: Callable[[Sequence[Group]], Figure | None]
    wide: bool = False


VALIDATED = "of every validation, not smoothed. One style per config, its seeds share it."
PICTURES = (
    RunPicture(
        "Curves",
        "loss",
        f"Rate-distortion loss {VALIDATED}",
        partial(draw_validation_of, key=LOSS, title="Validation loss", y="loss", may_be_log=True),
    ),
    RunPicture(
        "Curves",
        "bpp",
        f"Estimated bits per pixel {VALIDATED}",
        partial(draw_validation_of, key=BPP, title="Validation rate", y="bits per pixel", may_be_log=False),
    ),
    RunPicture(
        "Curves",
        "psnr",
        f"PSNR {VALIDATED}",
        partial(draw_validation_of, key=PSNR, title="Validation PSNR", y="dB", may_be_log=False),
    ),
    RunPicture(
        "Curves",
        "ms_ssim",
        f"MS-SSIM {VALIDATED}",
        partial(draw_validation_of, key=MS_SSIM, title="Validation MS-SSIM", y="dB", may_be_log=False),
    ),
    RunPicture("Curves", "tau", "Cutoff of phase 1 while it acts; runs without phase 1 have none.", draw_tau_of),
    RunPicture(
        "Spectra",
        "spectra",
        "What each scale explains, over epochs: the first run of each config with diagnostics=spectral, eight at most.",
        draw_spectra_of,
        wide=True,
    ),
)


def run_picture_sections(comparison: RunComparison) -> list[Section]:
    """A section for every heading in `PICTURES` that has something to show."""
    drawn: dict[str, list[Picture]] = {}
    for item in PICTURES:
        figure = item.draw(comparison.groups)
        if figure is not None:
            drawn.setdefault(item.section, []).append(picture(item.name, figure, item.caption, wide=item.wide))
    return [Section(heading.lower(), heading, tuple(gallery(pictures))) for heading, pictures in drawn.items()]


def rate_distortion_section(comparison: RunComparison) -> Section:
    """Curves of runs that differ by lambda, and their BD-rates."""
    heading, key = "Rate and distortion", "rate-distortion"
    if not comparison.curves:
        text = "No finished runs differ by loss.lmbda alone, so there is no curve of rate and distortion."
        return Section(key, heading, (Text(text),))
    pictures = []
    for name, quality, title in (("rd_psnr", PSNR_RGB, "PSNR"), ("rd_ms_ssim", MS_SSIM_DB, "MS-SSIM")):
        figure = draw_rate_distortion_of(comparison.curves, quality, title=f"{title} over rate", y="dB")
        if figure is not None:
            caption = (
                f"{title} over estimated bits per pixel: a point per lambda, each run at its least loss, mean of seeds."
            )
            pictures.append(picture(name, figure, caption))
    rows = tuple(
        (
            curve.label,
            short(point.lmbda),
            str(point.count),
            number(point.bpp, 4),
            number(point.psnr, 2),
            number(point.ms_ssim, 2),
        )
        for curve in comparison.curves
        for point in curve.points
    )
    table = Table("Points", ("curve", "lambda", "n", "bpp", "PSNR dB", "MS-SSIM dB"), rows)
    blocks: list[Block] = [*gallery(pictures), Bullets(tuple(_bd_rates(comparison))), table]
    return Section(key, heading, tuple(blocks))


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
