"""Run the benchmark of phase 1 and print its table."""

from typing import Any

import torch
from omegaconf import DictConfig

from hpcm_spectral.benchmarks.dct import truncation_cost
from hpcm_spectral.config import plain
from hpcm_spectral.errors import ConfigError


def run_benchmark(cfg: DictConfig) -> None:
    """Measure and print.

    Raises:
        ConfigError: A value is outside its range.
    """
    config: dict[str, Any] = plain(cfg)
    for key in ("batch", "size", "repeats"):
        if isinstance(config[key], bool) or not isinstance(config[key], int) or config[key] < 1:
            raise ConfigError(f"{key} must be a whole number from 1 on, got {config[key]!r}.")
    if config["device"] != "cpu" and not (config["device"] == "cuda" and torch.cuda.is_available()):
        raise ConfigError(f"device must be cpu, or cuda where there is a GPU, got {config['device']!r}.")
    print(truncation_cost(**config).table())
