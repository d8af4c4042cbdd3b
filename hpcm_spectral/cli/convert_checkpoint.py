"""Convert a checkpoint to an exported codec."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict

from hpcm_spectral.cli.outputs import output_folder
from hpcm_spectral.config import Names, check_settings, plain
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.models import save_codec
from hpcm_spectral.models.exported import DESCRIPTION, WEIGHTS
from hpcm_spectral.models.registry import build_codec
from hpcm_spectral.models.sources import TRAINING, CodecSource, read_source
from hpcm_spectral.training import count_parameters


class ConvertSettings(BaseModel):
    """The config of a conversion."""

    model_config = ConfigDict(strict=True, extra="forbid")

    checkpoint: str
    output: str
    overwrite: bool
    arguments: dict[str, Any]
    allow: Names = []


def convert(cfg: DictConfig) -> None:
    """Read a checkpoint, check it, and export its codec.

    Raises:
        UserError: The checkpoint holds no codec, or the folder holds one already.
    """
    settings = check_settings(ConvertSettings, plain(cfg))
    output = output_folder(settings.output, "a codec", (DESCRIPTION, WEIGHTS), overwrite=settings.overwrite)
    source = read_source(settings.checkpoint, "checkpoint", settings.allow)
    weights = replace(source.weights, arguments=_completed(source, settings.arguments))
    codec = build_codec(weights, settings.allow)
    if source.kind == TRAINING:
        codec.settle()  # a checkpoint may be younger than the latest validation
    output.mkdir(parents=True, exist_ok=True)
    save_codec(codec, output, training=source.training)
    print(f"{source.path}: {source.kind}")
    print(f"{codec.name}, {count_parameters(codec):,} parameters")
    for note in weights.notes:
        print(note)
    print(f"in {output}: {WEIGHTS}, {DESCRIPTION}")


def _completed(source: CodecSource, given: Mapping[str, Any]) -> dict[str, Any]:
    """The codec's arguments, with those given that its file does not tell."""
    known, unknown = source.weights.arguments, source.weights.unknown
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"arguments.{name} is no argument of {source}; known are {', '.join(known)}.")
        if name not in unknown and value != known[name]:
            raise ConfigError(f"arguments.{name} must be {known[name]} for {source}, got {value}; leave it out.")
    for name, choices in unknown.items():
        if given.get(name) not in choices:
            raise ConfigError(
                f"arguments.{name} must be {' or '.join(choices)}, as in the training of {source.path}, which has no "
                f"config.yaml beside it to say so, got {given.get(name, 'nothing')}; set +arguments.{name}=VALUE, or "
                "convert the checkpoint in its run folder."
            )
    return {**known, **given}
