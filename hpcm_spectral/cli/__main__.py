"""``python -m hpcm_spectral.cli``: the training program, as a sweep starts it for a job of several devices."""

from hpcm_spectral.cli.entry import train

if __name__ == "__main__":
    train()
