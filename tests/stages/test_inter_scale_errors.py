"""What phase 2 refuses, and what it says."""

import math

import pytest
import torch
from scale_latents import hierarchy, prepared

from hpcm_spectral import InterScaleRegularizer
from hpcm_spectral.codec import ScaleLatent
from hpcm_spectral.errors import UserError


def test_a_term_that_runs_away_names_stage_epoch_and_value() -> None:
    latents = hierarchy(100.0, 1.0, 1.0)
    stage = prepared(latents, normalize="none", aligner="joint", divergence_limit=100)
    with pytest.raises(UserError, match=r"phase2_inter must keep its term within 100 .* got -\d+.*at epoch 3.25: "):
        stage(latents, 3.25)
    with torch.no_grad():
        stage.aligners["1"].conv.weight.fill_(math.nan)
    with pytest.raises(UserError, match="got -inf at epoch 4.00"):
        stage(latents, 4.0)


def of_shapes(*shapes: tuple[int, ...]) -> list[ScaleLatent]:
    latents = []
    for shape in shapes:
        latent = object.__new__(ScaleLatent)  # past the shape check of its own constructor
        object.__setattr__(latent, "y_hat", torch.ones(shape))
        object.__setattr__(latent, "newly_coded", torch.ones((1, *shape[1:]), dtype=torch.bool))
        latents.append(latent)
    return latents


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 4, 4), (1, 8, 8)], r"\[batch, channels, height, width\], got \[1, 4, 4\] at scale 1 and \[1, 8, 8\]"),
        ([(1, 4, 4, 4), (1, 4, 9, 8)], r"got \[1, 4, 4, 4\] at scale 1 and \[1, 4, 9, 8\] at scale 2"),
        ([(1, 4, 4, 4), (1, 4, 12, 12)], r"got \[1, 4, 4, 4\] at scale 1 and \[1, 4, 12, 12\] at scale 2"),
        ([(1, 4, 4, 4), (1, 4, 8, 16)], r"got \[1, 4, 4, 4\] at scale 1 and \[1, 4, 8, 16\] at scale 2"),
        ([(1, 4, 4, 4), (1, 4, 4, 4)], r"got \[1, 4, 4, 4\] at scale 1 and \[1, 4, 4, 4\] at scale 2"),
        ([(1, 4, 4, 4), (1, 4, 8, 8), (1, 2, 15, 15)], r"\[1, 4, 8, 8\] at scale 2 and \[1, 2, 15, 15\] at scale 3"),
        ([(1, 4, 4, 4)], "at least two scales, got 1"),
    ],
)
def test_latents_that_do_not_fit_are_named(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        InterScaleRegularizer().prepare(of_shapes(*shapes))
    if len(shapes) > 1:
        fitting = of_shapes(*[(1, 4, 4 * 2**number, 4 * 2**number) for number in range(len(shapes))])
        stage = prepared(fitting)
        with pytest.raises(UserError, match=message):
            stage(of_shapes(*shapes), 0.0)


def test_latents_that_are_not_finite_are_left_to_the_skipping_of_steps() -> None:
    latents = hierarchy(math.inf, 1.0, 1.0)
    term, _ = prepared(latents, normalize="none", aligner="joint")(latents, 0.0)
    assert not torch.isfinite(term)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": -0.1}, "delta must be a number from 0 to 1e.06, got -0.1"),
        ({"delta": math.nan}, "delta must be a number from 0 to 1e.06, got nan"),
        ({"start_epoch": math.inf}, "start_epoch must be a number from 0 on, got inf"),
        ({"delta": 1e7}, "delta must be a number from 0 to 1e.06, got 1"),
        ({"start_epoch": 3, "end_epoch": 3}, r"end_epoch must lie above start_epoch \(3\), got 3"),
        ({"ramp_epochs": 5, "start_epoch": 2, "end_epoch": 7}, r"ramp_epochs must end before end_epoch \(7\), got 5"),
        ({"downsample": "average", "wavelet": "db2"}, "downsample must be dwt for a wavelet and subbands to be chosen"),
        ({"downsample": "strided_conv", "subbands": "ll"}, "downsample must be dwt for a wavelet and subbands"),
        ({"delta": 0.0, "aligner": "frozen"}, "aligner must be adversarial to measure with delta 0, got frozen"),
        ({"ramp_epochs": -1}, "ramp_epochs must be a number from 0 on, got -1"),
        ({"lr": 0.0}, "lr must be a number above 0, or null for the codec's, got 0"),
        ({"divergence_limit": 0.0}, "divergence_limit must be a number above 0"),
        ({"wavelet": "haarr"}, "wavelet must be one of PyWavelets' discrete ones"),
        ({"pairs": [-1]}, "pairs must list different numbers from 0 on"),
        ({"pairs": []}, "pairs must list different numbers from 0 on"),
        ({"pairs": [1, 1]}, "pairs must list different numbers from 0 on"),
    ],
)
def test_impossible_settings_begin_with_their_name(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        InterScaleRegularizer(**arguments)


def test_a_pair_that_the_codec_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="^pairs must lie between 1 and 2 for this codec, got 3"):
        InterScaleRegularizer(pairs=[1, 3]).prepare(hierarchy())


def test_a_stage_that_was_not_prepared_says_so() -> None:
    with pytest.raises(UserError, match=r"call prepare\(latents\)"):
        InterScaleRegularizer()(hierarchy(), 0.0)
