"""Decode .hpcm files into PNG images with the codec that wrote them."""

from hpcm_spectral.cli.entry import decompress

if __name__ == "__main__":
    decompress()
