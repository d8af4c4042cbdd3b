"""Compare runs: python scripts/report.py runs=PATH [key=value]."""

from hpcm_spectral.cli.entry import report

if __name__ == "__main__":
    report()
