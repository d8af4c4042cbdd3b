"""Convert a checkpoint to an exported codec."""

import dataclasses
from typing import Literal

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict

from hpcm_spectral.config import check_settings, plain
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.models import save_codec
from hpcm_spectral.models.files import DESCRIPTION, WEIGHTS
from hpcm_spectral.models.sources import read_source, user_path
from hpcm_spectral.training import count_parameters


class ConvertSettings(BaseModel):
    """The config of a conversion."""

    model_config = ConfigDict(strict=True, extra="forbid")

    checkpoint: str
    output: str
    overwrite: bool
    hyper_prior_order: Literal["published", "aligned"] | None


def convert(cfg: DictConfig) -> None:
    """Read a checkpoint, check it, and export its codec.

    Raises:
        UserError: The checkpoint holds no codec, or the folder holds one already.
    """
    settings = check_settings(ConvertSettings, plain(cfg))
    output = user_path(settings.output)
    existing = [name for name in (DESCRIPTION, WEIGHTS) if (output / name).exists()]
    if not settings.output:
        raise ConfigError("output must name a folder, got nothing; . is the current one.")
    if existing and not settings.overwrite:
        raise ConfigError(
            f"output must be a folder without a codec, but {output} has {' and '.join(existing)}; choose another, or "
            "replace it with overwrite=true."
        )
    source = read_source(settings.checkpoint, "checkpoint")
    weights, order = source.weights, settings.hyper_prior_order
    known = weights.arguments["hyper_prior_order"]
    if source.order_known and order not in (None, known):
        raise ConfigError(f"hyper_prior_order must be {known} for {source}, got {order}; leave it out.")
    if not source.order_known:
        if order is None:
            raise ConfigError(
                f"hyper_prior_order must be published or aligned, as in the training of {source.path}, which has no "
                "config.yaml beside it to say so; set it, or convert the checkpoint in its run folder."
            )
        weights = dataclasses.replace(weights, arguments={**weights.arguments, "hyper_prior_order": order})
    codec = weights.build()
    output.mkdir(parents=True, exist_ok=True)
    save_codec(codec, output, training=source.training)
    sizes = "" if codec.arguments["cross_attention"] else " without cross attention"
    print(f"{source.path}: {source.kind}")
    print(f"{type(codec).__name__}{sizes}, {count_parameters(codec):,} parameters")
    if weights.gains_missing:
        print("its per-step gains are missing, as in checkpoints made before 2026, and are set to one")
    print(f"in {output}: {WEIGHTS}, {DESCRIPTION}")
