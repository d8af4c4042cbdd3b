"""Weights to start from: signals keep their size through all blocks, and every latent is alive."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from hpcm_spectral.models.dhic.blocks import FFN, TAPS, Block, Mixer, WeightedConv
from hpcm_spectral.models.dhic.prior import LOG_SCALE_MIN, LatentScale, PriorPath

# How much of what passes an FFN its branch adds at first.
FFN_GAIN = 0.25
MIXER_STD = 0.1
# Standard deviation of the latents in quantisation steps: well above the rounding, or nothing is learned from them.
LATENT_STD = 3.0
BIAS_STD = 0.3
# What the last convolution keeps of the features.
IMAGE_GAIN = 0.3


def initialise(*paths: nn.Module) -> None:
    """Start the parts of a codec through each of which a signal passes: encoder, prior path, decoder.

    PyTorch's default makes every branch shrink what enters it: latents start at half a quantisation step, below the
    noise that stands for rounding, and are given up before the decoder has learned to use them, the coarsest first.
    Here a convolution keeps the variance of its inputs, and a residual branch adds 1/L of it, L being the number of
    blocks along the path, so that 60 blocks let it grow no more than a few do.
    """
    for path in paths:
        # A latent's own blocks lie beside the path.
        aside = {block for scale in path.modules() if isinstance(scale, LatentScale) for block in scale.modules()}
        depth = sum(isinstance(block, Block) and block not in aside for block in path.modules())
        for module in path.modules():
            if isinstance(module, nn.Conv2d) and module.groups == 1:
                _keep_variance(module)
            elif isinstance(module, WeightedConv):
                power = sum(tap * tap for tap in TAPS) ** 2
                nn.init.normal_(module.weight, std=(module.weight.shape[1] * power) ** -0.5)
        for module in path.modules():
            if isinstance(module, FFN):
                _keep_variance(module.contract, FFN_GAIN)
            elif isinstance(module, Mixer):
                nn.init.normal_(module.spatial.weight, std=MIXER_STD)
                for silent in (module.spatial.bias, module.point.weight, module.point.bias):
                    assert silent is not None
                    nn.init.zeros_(silent)
            elif isinstance(module, Block) and isinstance(module.leave, nn.Identity):
                _keep_variance(module.mix, max(1, depth) ** -0.5)
        for module in path.modules():
            if isinstance(module, LatentScale):
                _start_latent(module)
        if isinstance(bias := getattr(path, "bias", None), nn.Parameter):
            nn.init.normal_(bias, std=BIAS_STD)
        if isinstance(last := getattr(path, "leave", None), WeightedConv):
            last.weight.data.mul_(IMAGE_GAIN)


def start_steps(prior: PriorPath, lmbdas: Sequence[float]) -> None:
    """Start each level's quantisation steps where theory puts them: proportional to ``lmbda^-1/2``, at one on average.

    At high rate the distortion grows with the step's square and a halved step costs a bit, whatever the signal. The
    published tables start at zero, the same step at all levels; few of a short training's steps reach each of 64. The
    priors have to follow: until they have, the lowest levels cost the most.
    """
    log = -0.5 * torch.tensor(lmbdas).log()
    with torch.no_grad():
        for scale in prior.latents:
            assert isinstance(scale, LatentScale)
            scale.step.log.copy_((log - log.mean())[:, None, None, None].expand_as(scale.step.log))


def _start_latent(scale: LatentScale) -> None:
    """A posterior of a few steps, a prior of one step around nothing, and features that take in the latent as it is."""
    # A latent of as many channels as its features takes them without a convolution of its own.
    last = scale.posterior.leave if isinstance(scale.posterior.leave, nn.Conv2d) else scale.posterior.mix
    _keep_variance(last, LATENT_STD / 2)
    if isinstance(scale.posterior.shortcut, nn.Conv2d):
        _keep_variance(scale.posterior.shortcut, LATENT_STD)
    _keep_variance(scale.prior, 0.1)
    assert scale.prior.bias is not None
    # softplus(start - LOG_SCALE_MIN) + LOG_SCALE_MIN = 0
    start = math.log(math.expm1(-LOG_SCALE_MIN)) + LOG_SCALE_MIN
    with torch.no_grad():
        scale.prior.bias[len(scale.prior.bias) // 2 :] = start
    _keep_variance(scale.project, 1 / LATENT_STD)


def _keep_variance(conv: nn.Conv2d, gain: float = 1.0) -> None:
    nn.init.normal_(conv.weight, std=gain * conv.weight[0].numel() ** -0.5)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
