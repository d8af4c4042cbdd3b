"""A validation of one small image before the first step, so that what breaks in validation breaks at once."""

import copy
from collections.abc import Mapping

import torch
from jaxtyping import Float

from hpcm_spectral.errors import ConfigError, UserError, first_line
from hpcm_spectral.training.module import CodecModule

MAX_SIDE = 99
# Missing only where images are small.
OF_LARGE_IMAGES = "ms_ssim_db"


def validate_once(
    module: CodecModule,
    image: Float[torch.Tensor, "3 H W"],
    monitors: Mapping[str, str | None],
    *,
    partial: bool = False,
) -> None:
    """Validate a copy of what is to be trained, which itself stays as it is, on a corner of odd sides of an image.

    Args:
        module: The codec with its loss.
        image: A validation image.
        monitors: Metrics that are watched, by the keys of the settings that name them.
        partial: Whether partial reconstructions are wanted, too.

    Raises:
        ConfigError: The validation fails, or has no such metric.
    """
    trial = copy.deepcopy(module).eval()
    height, width = ((min(side, MAX_SIDE) - 1) // 2 * 2 + 1 for side in image.shape[-2:])
    x = image[None, :, :height, :width]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            trial.codec.settle()
            known = [f"val/{key}" for key in (*trial.validation_metrics(x), OF_LARGE_IMAGES)]
            if partial:
                trial.codec.reconstructions(x)
    except UserError:
        raise
    except Exception as error:  # a user's own codec can fail in any way
        raise ConfigError(
            f"model must validate images of any size, but {type(module.codec.network).__name__} failed on one of "
            f"{height}x{width} pixels: {type(error).__name__}: {first_line(error)}; see codec.py for what it must do."
        ) from error
    for key, name in monitors.items():
        if name is not None and name.startswith("val/") and name not in known:
            raise ConfigError(f"{key} must name a metric of the validation ({', '.join(known)}), got {name}.")
