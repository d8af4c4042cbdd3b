"""Code images into .hpcm files with an exported codec."""

from hpcm_spectral.cli.entry import compress

if __name__ == "__main__":
    compress()
