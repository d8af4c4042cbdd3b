"""All pictures of a run."""

import logging
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from hpcm_spectral.reports.curves import draw_curves
from hpcm_spectral.reports.picture_inputs import RunFolder, read_run_folder
from hpcm_spectral.reports.reconstructions import draw_reconstructions
from hpcm_spectral.reports.spectral_evolution import FILE_NAME, draw_run_spectra
from hpcm_spectral.reports.spectrum import draw_spectrum
from hpcm_spectral.reports.style import save_figure

_log = logging.getLogger(__name__)
# How each is drawn, and why it may be missing; None: it is there only where it was asked for.
FIGURES: dict[str, tuple[Callable[[RunFolder], Figure | None], str | None]] = {
    "curves.png": (draw_curves, "metrics.csv has no rows"),
    "reconstructions.png": (draw_reconstructions, "there are no samples"),
    "spectrum.png": (draw_spectrum, "phase 1 is off and there are no samples"),
    FILE_NAME: (draw_run_spectra, None),
}


def write_run_figures(run_dir: Path) -> list[Path]:
    """Draw a run folder's pictures, those of ``FIGURES``, into it.

    A picture for which the folder holds nothing is skipped, and logged if it should be there; its file of an earlier
    call, if there is one, stays. Each file is written whole or not at all.

    Args:
        run_dir: A folder with ``config.yaml``, and with ``metrics.csv`` and ``samples/`` if it has them.

    Returns:
        The files written.

    Raises:
        UserError: A file of the folder is damaged; nothing is written then.
    """
    run_dir = Path(run_dir)
    run = read_run_folder(run_dir)
    # All are drawn before the first is written, as drawing reads the sample images, which can be damaged too.
    drawn = {run_dir / name: draw(run) for name, (draw, _) in FIGURES.items()}
    for path, figure in drawn.items():
        if figure is not None:
            save_figure(figure, path)
        elif reason := FIGURES[path.name][1]:
            _log.info("%s is skipped: %s in %s.", path.name, reason, run_dir)
    return [path for path, figure in drawn.items() if figure is not None]
