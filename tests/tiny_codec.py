"""The tiny codec that the tests of order and forward pass share."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import torch

from hpcm_spectral.models import HPCM, HPCM_Tiny


def random_tiny(seed: int = 0, **arguments: object) -> HPCM:
    """A tiny codec with random weights that make every part count: gains, prior scales, hyper prior."""
    torch.manual_seed(seed)
    model = HPCM_Tiny(**arguments)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gains" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
        model.g_a[-1].weight.mul_(10)
        model.means_hyper.normal_()
        channels = model.arguments["latent_channels"]
        for bias in (
            model.h_s[-1].contract.bias,
            model.context.net_coarse.out.bias,
            model.context.net_fine.out.bias,
        ):
            bias[:channels] += 1.0
    return model
