"""Transforms in bfloat16: encoder and decoder choose by themselves, and nothing that both compute changes."""

import pytest
import torch
from compressai.models import ScaleHyperprior
from tiny_codec import random_tiny

from hpcm_spectral.codec import Codec, EncodedImage
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.models import DHIC, CompressAI, as_codec

DHIC_SIZES = {
    "channels": (24, 16, 12),
    "latent_channels": (8, 8, 4),
    "encoder_depths": (1, 1, 1),
    "prior_depths_before": (1, 1, 1),
    "prior_depths_after": (1, 1),
    "decoder_depths_before": (1, 1, 1),
    "decoder_depths_after": (1, 1, 1),
    "stem_channels": 16,
    "stem_depth": 1,
    "levels": 3,
}


def hpcm() -> Codec:
    return random_tiny()


def dhic() -> Codec:
    torch.manual_seed(0)
    return DHIC(**DHIC_SIZES)


def compressai(architecture: str, **widths: int) -> Codec:
    torch.manual_seed(0)
    codec = CompressAI(architecture, **widths)
    with torch.no_grad():
        [m for m in codec.network.g_a.modules() if isinstance(m, torch.nn.Conv2d)][-1].weight.mul_(8)
    codec.settle()
    return codec


MAKERS = {
    "hpcm": hpcm,
    "dhic": dhic,
    "bmshj2018-factorized": lambda: compressai("bmshj2018-factorized", N=8, M=12),
    "mbt2018-mean": lambda: compressai("mbt2018-mean", N=8, M=12),
}


# The smaller size has a single position at DHIC's coarsest scale, whose layout in memory is ambiguous.
@pytest.mark.parametrize("size", [(30, 20), (130, 200)])
@pytest.mark.parametrize("family", MAKERS)
def test_files_of_either_precision_decode_with_either(family: str, size: tuple[int, int]) -> None:
    codec = MAKERS[family]().eval()
    codec.update()
    x = torch.nn.functional.interpolate(
        torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0)), size, mode="bicubic"
    ).clamp(0, 1)
    encoded: dict[torch.dtype, EncodedImage] = {}
    decoded: dict[tuple[torch.dtype, torch.dtype], torch.Tensor] = {}
    for dtype in (torch.float32, torch.bfloat16):
        codec.set_transforms(dtype)
        encoded[dtype] = codec.encode(x, **codec.at_level(codec.middle_level))
    for dtype in (torch.bfloat16, torch.float32):
        codec.set_transforms(dtype)
        # The checksum of the symbols holds in all four.
        decoded |= {(source, dtype): codec.decode(image) for source, image in encoded.items()}
    full, low = torch.float32, torch.bfloat16
    assert codec.encode(x, **codec.at_level(codec.middle_level)) == encoded[full]
    for source in (full, low):
        exact, rough = decoded[source, full], decoded[source, low]
        assert (exact.dtype, rough.dtype) == (full, full)
        assert exact.is_contiguous() == rough.is_contiguous()
        assert not torch.equal(exact, rough)
        assert (exact - rough).square().mean().sqrt() < 0.02 * exact.square().mean().sqrt()
    # Bits of the rounded symbols that tipped over.
    sizes = [sum(map(len, image.strings.values())) for image in encoded.values()]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02, abs=4)


@pytest.mark.parametrize(
    ("family", "shared", "free"),
    [
        ("hpcm", ("h_s", "context.net_fine", "context.attention.0"), "g_a"),
        ("dhic", ("prior.before.0", "prior.latents.1.prior", "prior.latents.0.project", "prior.up.1"), "encoder.enter"),
        ("mbt2018-mean", ("model.h_s",), "model.g_a.0"),
    ],
)
def test_what_the_decoder_computes_too_stays_float32(family: str, shared: tuple[str, ...], free: str) -> None:
    codec = MAKERS[family]().eval()
    codec.update()
    codec.set_transforms(torch.bfloat16)
    kinds: dict[str, set[torch.dtype]] = {name: set() for name in (*shared, free)}
    for name, seen in kinds.items():
        codec.get_submodule(name).register_forward_hook(
            lambda _, inputs, output, seen=seen: seen.update((inputs[0].dtype, output.dtype))
        )
    codec.encode(torch.rand(1, 3, 100, 100))
    assert torch.bfloat16 in kinds.pop(free)
    assert all(kind == {torch.float32} for kind in kinds.values())


class Own(ScaleHyperprior):
    pass


def test_a_codec_that_names_no_such_networks_refuses() -> None:
    codec = as_codec(Own(8, 8), {"_target_": "my_codecs.Own", "N": 8, "M": 8})
    with pytest.raises(ConfigError, match="transforms must be float32 for .*Own, .*, got bfloat16"):
        codec.set_transforms(torch.bfloat16)
    codec.set_transforms(torch.float32)
