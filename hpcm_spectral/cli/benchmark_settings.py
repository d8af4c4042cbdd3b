"""The settings of benchmarks, apart from those of a training that stand beside them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from hpcm_spectral.benchmarks.loader import FileKind
from hpcm_spectral.config import RunSettings, StrictSettings, Transforms, check_settings

Count = Annotated[int, Field(ge=1)]
TITLES = {
    "step": "Training steps",
    "encode": "Encoding",
    "decode": "Decoding",
    "evaluate": "Evaluation",
    "loader": "Loading of training data",
}


class DctSettings(StrictSettings):
    """The settings of ``conf/benchmark/dct.yaml``."""

    kind: Literal["dct"]
    batch: Count
    size: Count
    repeats: Count
    device: str


class FolderSettings(StrictSettings):
    """The settings of ``conf/benchmark/folder.yaml``."""

    kind: Literal["folder"]
    file_kind: FileKind
    images: Count
    crop_size: Count
    batch_size: Count
    workers: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(ge=2)]
    repeats: Count


class BenchmarkSettings(StrictSettings):
    """The settings of ``conf/benchmark/step.yaml`` and its likes that are not those of a training."""

    kind: Literal["step", "encode", "decode", "evaluate", "loader"]
    compare: list[Any] | dict[str, Any] | None
    repeats: Count
    device: str
    threads: Count | None
    memory: bool
    epoch: float | None
    picture: tuple[Count, Count]
    output: str | None


class CodingBenchmarkSettings(BenchmarkSettings):
    """The same for ``conf/benchmark/encode.yaml`` and its likes, which code a picture."""

    transforms: Transforms


def settings_of(config: Mapping[str, Any]) -> BenchmarkSettings:
    """A benchmark's own settings within its config, checked.

    Raises:
        ConfigError: One is unknown, or its value outside its range.
    """
    own = {key: value for key, value in config.items() if key not in RunSettings.model_fields}
    if isinstance(own.get("picture"), list):
        own["picture"] = tuple(own["picture"])  # YAML has lists only
    codes = own.get("kind") in ("encode", "decode", "evaluate")
    return check_settings(CodingBenchmarkSettings if codes else BenchmarkSettings, own)


def of_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are those of a training."""
    return {key: config[key] for key in RunSettings.model_fields if key in config}


def without_stages(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with every stage off."""
    return {**config, "phase1": {}, "phase2": {}, "stages": {}}
