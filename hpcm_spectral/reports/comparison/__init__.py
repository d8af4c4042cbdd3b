"""Several runs beside each other: what differs, which converges sooner, which compresses better."""

from hpcm_spectral.reports.comparison.compare import RunComparison, compare_runs
from hpcm_spectral.reports.comparison.report import check_output, write_report

__all__ = ["RunComparison", "check_output", "compare_runs", "write_report"]
