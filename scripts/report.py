"""Compare runs: python scripts/report.py runs=PATH [key=value]."""

from hpcm_spectral.cli import report

if __name__ == "__main__":
    report()
