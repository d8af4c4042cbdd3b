"""Compare runs: read their folders, write a report."""

import logging
from datetime import datetime

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict

from hpcm_spectral.cli.outputs import output_folder
from hpcm_spectral.config import check_settings, plain
from hpcm_spectral.reports.comparison import check_output, compare_runs, write_report

log = logging.getLogger("hpcm_spectral")


class ReportSettings(BaseModel):
    """The settings of ``conf/report.yaml``."""

    model_config = ConfigDict(strict=True, extra="forbid")

    # A sweep's folders may be called 0, 1, 2.
    runs: str | int | list[str | int]
    baseline: str | int | None
    smoothing: int
    output: str
    overwrite: bool


def run_report(cfg: DictConfig) -> None:
    """Read, compare, write, and say what was left out.

    Raises:
        UserError: Something that the user can mend.
    """
    settings = check_settings(ReportSettings, plain(cfg))
    output = output_folder(settings.output)
    check_output(output, overwrite=settings.overwrite)
    given = settings.runs if isinstance(settings.runs, list) else [settings.runs]
    baseline = None if settings.baseline is None else str(settings.baseline)
    comparison = compare_runs([str(path) for path in given], baseline=baseline, window=settings.smoothing)
    files = write_report(output, comparison, datetime.now())
    for folder in comparison.left_out:
        log.info("left out: %s: %s", folder.path, folder.reason)
    log.info("%d runs compared; in %s: %s", len(comparison.runs), output, ", ".join(reversed(files)))
