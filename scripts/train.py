"""Train a codec: python scripts/train.py [group=option] [key=value]."""

from hpcm_spectral.cli.entry import train

if __name__ == "__main__":
    train()
