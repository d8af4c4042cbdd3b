"""Decoded samples in a run folder, of codecs with one rate and with several."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from hpcm_spectral.codec import Codec
from hpcm_spectral.evaluation.samples import write_samples
from hpcm_spectral.reports.reconstructions import read_pair
from hpcm_spectral.reports.spectrum import panel_of_kept
from hpcm_spectral.reports.style import new_figure, save_figure
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


def test_photographs_of_any_name_become_samples_and_pictures(tmp_path: Path) -> None:
    names = [f"{name}.png" for name in (os.fsdecode(b"caf\xe9"), "Ba$$in", "_two\nlines", "x" * 244)]
    write_samples(OneRate(), [torch.rand(1, 3, 64, 64) for _ in names], names, tmp_path)
    samples = read_samples(tmp_path)
    assert [sample.name for sample in samples] == ["caf\\xe9", "Ba$$in", "_two\\nlines", "x" * 244]
    assert all(sample.decoded.is_file() for sample in samples)
    figure = new_figure(4)
    panel_of_kept(figure.subplots(), [sample.name for sample in samples], [read_pair(sample) for sample in samples])
    save_figure(figure, tmp_path / "picture.png")
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [text.strip().replace("\\$", "$") for text in shown] == ["caf\\xe9", "Ba$$in", "_two\\nlines"]
