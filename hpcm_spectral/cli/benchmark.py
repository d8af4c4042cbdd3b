"""Run a benchmark and print its table."""

import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig

from hpcm_spectral.benchmarks.dct import truncation_cost
from hpcm_spectral.benchmarks.step import StepBenchmark, Stepper, variants_of
from hpcm_spectral.benchmarks.turns import seconds_in_turns
from hpcm_spectral.build import build_data_and_module
from hpcm_spectral.config import RunSettings, check_config, plain
from hpcm_spectral.errors import ConfigError
from hpcm_spectral.ops.devices import check_device
from hpcm_spectral.training.resources import peak_memory_mib

log = logging.getLogger("hpcm_spectral")
PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16}


def run_benchmark(cfg: DictConfig) -> None:
    """Measure and print.

    Raises:
        ConfigError: A value is outside its range.
    """
    config: dict[str, Any] = plain(cfg)
    kind = config.pop("kind")
    if kind not in ("dct", "step"):
        raise ConfigError(f"kind must be dct or step, got {kind!r}; choose benchmark=dct or benchmark=step.")
    for key in ("batch", "size", "repeats"):
        value = config.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{key} must be a whole number from 1 on, got {value!r}.")
    check_device(config["device"])
    print((truncation_cost(**config) if kind == "dct" else _step_cost(config)).table())


def _step_cost(config: dict[str, Any]) -> StepBenchmark:
    """Memory from a fresh process per phase, then times in turns."""
    _check_trainer(config["trainer"])
    steppers, batch = _steppers_and_batch(config)
    phases = list(steppers)
    if len(phases) == 1:
        raise ConfigError("phase1 or phase2 must be on to be measured, got off for both.")
    codec = type(steppers[phases[0]].module.codec).__name__
    title = f"{codec}, {'x'.join(map(str, batch.shape))}, {config['trainer']['precision']}, on {batch.device}"
    del steppers, batch
    peaks = {}
    for phase in phases:
        log.info("%s: peak memory of two steps in a fresh process", phase)
        # Spawned: a forked process would start with this one's memory.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            peaks[phase] = pool.submit(_peak_memory_mib, config, phase).result()
    log.info("%d timed steps of each in turns", config["repeats"])
    steppers, batch = _steppers_and_batch(config)
    steps = {phase: partial(stepper.step, batch) for phase, stepper in steppers.items()}
    return StepBenchmark(title, seconds_in_turns(steps, batch.device, config["repeats"]), peaks)


def _check_trainer(trainer: dict[str, Any]) -> None:
    """Refuse what a step without a trainer would silently leave out."""
    if trainer["precision"] not in PRECISIONS:
        raise ConfigError(
            f"trainer.precision must be one of {', '.join(PRECISIONS)} to be measured, got {trainer['precision']!r}."
        )
    if trainer["accumulate_grad_batches"] != 1:
        raise ConfigError(
            "trainer.accumulate_grad_batches must be 1, as single steps are measured, got "
            f"{trainer['accumulate_grad_batches']!r}; set data.batch_size."
        )


def _steppers_and_batch(config: dict[str, Any]) -> tuple[dict[str, Stepper], torch.Tensor]:
    settings = {key: config[key] for key in RunSettings.model_fields if key in config}
    data, module = build_data_and_module(check_config(settings))
    module.to(config["device"]).train()
    batch = next(iter(data.train_dataloader())).to(config["device"])
    trainer = config["trainer"]
    clip, autocast = trainer["gradient_clip_val"], PRECISIONS[trainer["precision"]]
    steppers = {name: Stepper(*variant, clip, autocast) for name, variant in variants_of(module).items()}
    return steppers, batch


def _peak_memory_mib(config: dict[str, Any], phase: str) -> float:
    steppers, batch = _steppers_and_batch(config)
    for _ in range(2):
        steppers[phase].step(batch)
    return torch.cuda.max_memory_allocated() / 2**20 if batch.is_cuda else peak_memory_mib()
