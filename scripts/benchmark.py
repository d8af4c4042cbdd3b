"""Measure configs side by side: python scripts/benchmark.py [benchmark=step] [key=value]."""

from hpcm_spectral.cli.entry import benchmark

if __name__ == "__main__":
    benchmark()
