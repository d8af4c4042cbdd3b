"""Convert a checkpoint to an exported codec: python scripts/convert_checkpoint.py CHECKPOINT FOLDER."""

from hpcm_spectral.cli.entry import convert_checkpoint

if __name__ == "__main__":
    convert_checkpoint()
