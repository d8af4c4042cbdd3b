"""Evaluate a codec: python scripts/evaluate.py codec=DIR images=DIR [key=value]."""

from hpcm_spectral.cli.entry import evaluate

if __name__ == "__main__":
    evaluate()
