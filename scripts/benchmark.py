"""Measure what phase 1 costs: python scripts/benchmark.py [key=value]."""

from hpcm_spectral.app import benchmark

if __name__ == "__main__":
    benchmark()
