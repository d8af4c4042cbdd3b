"""From a config to what a benchmark calls."""

from typing import Any

import torch

from hpcm_spectral.benchmarks import things
from hpcm_spectral.benchmarks.things import Thing
from hpcm_spectral.build import build_data_and_module, build_node
from hpcm_spectral.cli.benchmark_settings import CodingBenchmarkSettings, of_run, settings_of, without_stages
from hpcm_spectral.cli.entry import config_folder
from hpcm_spectral.config import check_config
from hpcm_spectral.data import ImageDataModule
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.models.init_from import initialise
from hpcm_spectral.models.sources import read_source

PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16}


def build_thing(config: dict[str, Any]) -> Thing:
    """What the config's kind of benchmark calls.

    Raises:
        ConfigError: The config cannot be built, or sets what this kind leaves out.
    """
    own = settings_of(config)
    _check_kind(own.kind, config)
    if own.kind == "loader":
        return things.epoch_of_batches(build_node(check_config(of_run(config)).data, "data", ImageDataModule))
    # A batch or a picture is needed, for which no process need start and no image stay.
    spared = {key: 0 for key in ("num_workers", "cache_gib") if key in config["data"]}
    config = (config if own.kind == "step" else without_stages(config)) | {"data": config["data"] | spared}
    settings = check_config(of_run(config))
    data, module = build_data_and_module(settings)
    codec = module.codec
    if isinstance(own, CodingBenchmarkSettings):
        codec.set_transforms(getattr(torch, own.transforms))
    if settings.init_from is not None:
        source = read_source(settings.init_from, "init_from", [settings.model["_target_"]])
        initialise(codec, source, config_folder() / "model")
    if own.kind == "step":
        batch = next(iter(data.train_dataloader())).to(own.device)
        progress = things.progress_within(module) if own.epoch is None else own.epoch
        clip, autocast = config["trainer"]["gradient_clip_val"], PRECISIONS[config["trainer"]["precision"]]
        return things.training_step(things.Stepper(module.to(own.device).train(), progress, clip, autocast), batch)
    codec.eval().settle()
    codec.update(force=True)
    codec.to(own.device)
    picture = things.photograph(data.train_files()[0], *own.picture)
    if own.kind == "evaluate":
        return things.scoring(codec, picture)
    make = things.encoding if own.kind == "encode" else things.decoding
    return make(codec, picture, module.memory_format)


def _check_kind(kind: str, config: dict[str, Any]) -> None:
    """Refuse what this kind of benchmark would silently leave out."""
    trainer, compiled = config["trainer"], config["compile"]
    if kind != "step" and compiled:
        raise ConfigError(
            f"compile must be null, as training steps alone are compiled, got {compiled!r}; use benchmark=step."
        )
    if kind == "loader":
        return
    if trainer["precision"] not in (PRECISIONS if kind == "step" else ["32-true"]):
        steps, files = f"one of {', '.join(PRECISIONS)} to be measured", "32-true, as files are coded in float32"
        must = steps if kind == "step" else files
        raise ConfigError(f"trainer.precision must be {must}, got {trainer['precision']!r}.")
    if kind == "step" and trainer["accumulate_grad_batches"] != 1:
        raise ConfigError(
            "trainer.accumulate_grad_batches must be 1, as single steps are measured, got "
            f"{trainer['accumulate_grad_batches']!r}; set data.batch_size."
        )
