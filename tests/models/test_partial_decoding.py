"""Reconstructions from the first scales alone: what a decoder would show that received no more."""

import pytest
import torch
from tiny_codec import random_tiny

from hpcm_spectral.codec import Codec
from hpcm_spectral.entropy import DecodingCoder, PartialCoder
from hpcm_spectral.ops import centred_padding
from hpcm_spectral.ops.devices import reproducible

STEPS = {"z": 0, "1": 2, "2": 5, "3": 11}  # the paper's: 2, 3 and 6 coded steps


def photographs(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(256, 256), (100, 300)])
def test_the_last_is_forwards_and_the_bits_add_up(size: tuple[int, int]) -> None:
    codec, x = random_tiny(), photographs(2, 3, *size)
    records = codec.train().reconstructions(x)
    assert codec.training
    assert [record.scale for record in records] == ["z", "1", "2", "3"]
    with torch.no_grad():
        out = codec.eval()(x)
    assert torch.equal(records[-1].x_hat, out["x_hat"])
    for image in range(2):
        expected = sum(-torch.log2(v[image].double()).sum().item() for v in out["likelihoods"].values())
        assert sum(record.bits[image].item() for record in records) == pytest.approx(expected, rel=1e-6)
    expected = -torch.log2(out["likelihoods"]["z"].double()).sum().item()
    assert records[0].bits.sum().item() == pytest.approx(expected, rel=1e-6)
    assert isinstance(codec, Codec)


def test_each_is_what_a_real_bitstream_gives_to_a_decoder_that_stops_after_the_scale() -> None:
    codec, x = random_tiny().eval(), photographs(1, 3, 256, 256)
    codec.update()
    image, padding = codec.encode(x), centred_padding(256, 256, 256)
    for record in codec.reconstructions(x):
        read_z = DecodingCoder(codec.entropy_model, image.strings["z"], 10**4)
        read_y = DecodingCoder(codec.entropy_model, image.strings["y"], 10**5)
        with torch.inference_mode(), reproducible(x.device):
            z_hat = codec._code_hyper(read_z, torch.zeros(1, 32, 4, 4), padding)
            latents = codec._code_latents(PartialCoder(read_y, STEPS[record.scale]), z_hat, None, padding)
            decoded = codec._synthesise(latents, padding, torch.float32)
        assert (decoded - record.x_hat).abs().max() < 1e-4 * decoded.abs().max()
        if record.scale == "z":
            assert read_y.checksum == 0  # not a symbol of y was read


def test_no_random_number_is_drawn() -> None:
    codec, x = random_tiny(), photographs(1, 3, 256, 256)
    before = torch.get_rng_state()
    codec.reconstructions(x)
    assert torch.equal(torch.get_rng_state(), before)
