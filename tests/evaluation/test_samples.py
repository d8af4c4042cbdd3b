"""Decoded samples in a run folder, of codecs with one rate and with several."""

from pathlib import Path

import pytest
import torch
from torch import nn

from hpcm_spectral.codec import Codec
from hpcm_spectral.evaluation.samples import write_samples
from hpcm_spectral.runs.sample_index import read_samples


class OneRate(Codec):
    """Its methods know of no levels."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return {"x_hat": self.gain * x, "likelihoods": {"y": torch.full((1, 1, 2, 2), 0.5)}, "latents": []}


class ManyRates(OneRate):
    levels = 9

    def forward(self, x, level=None):
        return {"x_hat": x, "likelihoods": {"y": torch.full((1, 1, 2, 2), 0.5 ** (level + 1))}, "latents": []}


@pytest.mark.parametrize(("codec", "bits"), [(OneRate(), 4), (ManyRates(), 4 * 5)])
def test_a_codec_shows_its_middle_level_if_it_has_several(codec: Codec, bits: int, tmp_path: Path) -> None:
    write_samples(codec, [torch.rand(1, 3, 10, 20)], ["deep/photo.png"], tmp_path)
    (sample,) = read_samples(tmp_path)
    assert sample.name == "photo"
    assert sample.bpp == pytest.approx(bits / 200)
