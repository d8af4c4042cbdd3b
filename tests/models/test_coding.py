"""Real strings: what comes out is what went in, for any size, in CompressAI's tools too."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from compressai.utils.eval_model.__main__ import inference, inference_entropy_estimation
from tiny_codec import random_tiny

from hpcm_spectral.entropy import EncodingCoder
from hpcm_spectral.errors import CodingError
from hpcm_spectral.models import HPCM_Tiny
from hpcm_spectral.models.hpcm.model import STRIDE_Y


@pytest.fixture(scope="module")
def codec() -> HPCM_Tiny:
    codec = random_tiny().eval()
    codec.update()
    return codec


def image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(1, 1), (1, 257), (255, 300), (256, 256), (640, 426)])
def test_decoding_gives_the_reconstruction_of_forward_bit_for_bit(codec: HPCM_Tiny, size: tuple[int, int]) -> None:
    x = image(*size)
    with torch.inference_mode():
        expected = codec(x)["x_hat"]
    encoded = codec.encode(x)
    assert (encoded.height, encoded.width) == size
    assert torch.equal(codec.decode(encoded), expected)


def test_a_batch_is_coded_image_by_image_in_compressais_form(codec: HPCM_Tiny) -> None:
    x = torch.cat([image(64, 320, seed) for seed in range(2)])
    out = codec.compress(x)
    assert [len(part) for part in out["strings"]] == [2, 2]
    assert tuple(out["shape"]) == (1, 5)
    x_hat = codec.decompress(out["strings"], out["shape"])["x_hat"]
    for number in range(2):
        with torch.inference_mode():
            expected = codec(x[number : number + 1])["x_hat"].clamp(0, 1)
        assert torch.equal(x_hat[number : number + 1], expected)
        alone = codec.compress(x[number : number + 1])["strings"]
        assert [part[0] for part in alone] == [part[number] for part in out["strings"]]


def test_sides_that_compress_cannot_name_are_refused(codec: HPCM_Tiny) -> None:
    with pytest.raises(ValueError, match="sides must be multiples of 64, got 64x100"):
        codec.compress(image(64, 100))


def test_compressais_own_evaluation_runs_unchanged(codec: HPCM_Tiny) -> None:
    x = image(200, 300)[0]
    real = inference(codec, x)
    estimated = inference_entropy_estimation(codec, x)
    assert set(real) == {"psnr-rgb", "ms-ssim-rgb", "bpp", "encoding_time", "decoding_time"}
    # It pads to multiples of 64 first, which changes the borders.
    assert real["psnr-rgb"] == pytest.approx(estimated["psnr-rgb"], abs=0.5)
    assert real["bpp"] > 0


def test_nothing_is_spent_on_positions_that_lie_in_the_padding(codec: HPCM_Tiny) -> None:
    small = image(16, 16)
    out = codec(small)
    y, z = out["likelihoods"]["y"], out["likelihoods"]["z"]
    # 120 pixels of padding before and after: the image touches the eighth and ninth row and column.
    coded = (y < 1).any(dim=1)[0]
    assert {tuple(place) for place in coded.nonzero().tolist()} == {(7, 7), (7, 8), (8, 7), (8, 8)}
    assert {tuple(place) for place in (z < 1).any(dim=1)[0].nonzero().tolist()} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    padded = torch.nn.functional.pad(small, (120, 120, 120, 120))
    alone, whole = codec.encode(small), codec.encode(padded)
    assert len(alone.strings["y"]) < len(whole.strings["y"]) / 16
    assert STRIDE_Y == 16


def test_without_padding_every_position_is_coded(codec: HPCM_Tiny) -> None:
    assert (codec(image(256, 256))["likelihoods"]["y"] < 1).all()


def test_coding_needs_tables_and_says_so() -> None:
    with pytest.raises(ValueError, match=r"call codec.update\(\) first"):
        HPCM_Tiny().eval().encode(image(64, 64))


def test_latents_that_are_not_finite_are_refused(codec: HPCM_Tiny) -> None:
    broken = random_tiny().eval()
    broken.update()
    with torch.no_grad():
        broken.g_a[-1].bias[0] = float("nan")
    with pytest.raises(CodingError, match="latents must be finite"):
        broken.encode(image(64, 64))


def test_other_priors_than_the_encoders_are_noticed(codec: HPCM_Tiny) -> None:
    encoded = codec.encode(image(256, 256))
    other = random_tiny().eval()
    other.update()
    with torch.no_grad():
        # Twice the scale of one adaptor: a machine that computes something else.
        other.context.adaptors[3].weight.mul_(2)
    with pytest.raises(CodingError, match="must give the symbols that were encoded"):
        other.decode(encoded)
    with pytest.raises(CodingError, match="must give the symbols that were encoded"):
        codec.decode(
            replace(encoded, strings={**encoded.strings, "y": encoded.strings["y"][: len(encoded.strings["y"]) // 2]})
        )


def test_values_outside_the_tables_are_coded_exactly(codec: HPCM_Tiny) -> None:
    loud = random_tiny().eval()
    loud.update()
    with torch.no_grad():
        loud.g_a[-1].weight.mul_(200)
    x = image(256, 256)
    with torch.inference_mode():
        expected = loud(x)
    assert expected["latents"][-1].y_hat.abs().max() > 2000
    assert torch.equal(loud.decode(loud.encode(x)), expected["x_hat"])


def test_the_checksum_is_that_of_the_symbols(codec: HPCM_Tiny) -> None:
    import zlib

    coder = EncodingCoder(codec.entropy_model)
    y = torch.tensor([1.4, -2.6, 0.2]).reshape(1, 3, 1, 1)
    decoded = coder.code(y, torch.ones_like(y), 0.5 * torch.ones_like(y))
    assert decoded.flatten().tolist() == [1.5, -2.5, 0.5]
    assert coder.checksum == zlib.crc32(b"\x01\0\0\0\xfd\xff\xff\xff\0\0\0\0")


def test_tables_do_not_depend_on_the_thread_count(tmp_path: Path) -> None:
    tables = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            codec = HPCM_Tiny()
            codec.update()
            tables.append(codec.entropy_model._quantized_cdf)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*tables)
