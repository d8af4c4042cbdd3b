"""What a training takes of the machine: time per step and memory, and what provenance notes of its accelerators."""

import contextlib
import logging
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

log = logging.getLogger("hpcm_spectral")
STATUS = Path("/proc/self/status")


class ResourceMeter(Callback):
    """Measures seconds per step, data loading included, and peak memory.

    Args:
        say_first: Say how long the first step took, which is long where it compiles.
    """

    def __init__(self, *, say_first: bool = False) -> None:
        self._say_first = say_first
        self._seconds: list[float] = []
        self._last = 0.0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the peak of an earlier job of a sweep in this process, where the system can."""
        self._last = time.monotonic()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock after what happens between epochs."""
        self._last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any) -> None:
        """Take the time."""
        now = time.monotonic()
        self._seconds.append(now - self._last)
        self._last = now
        if self._say_first and len(self._seconds) == 1:
            log.info("the first step took %.1f s", self._seconds[0])

    def summary(self) -> dict[str, float]:
        """Mean seconds per step and the peak memory of this process (and of the GPU) in MiB."""
        values = {"peak_memory_mib": peak_memory_mib()}
        if times := self._seconds[1:] or self._seconds:  # the first step warms up
            values["seconds_per_step"] = sum(times) / len(times)
        if torch.cuda.is_available():
            values["peak_gpu_memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
        return values


def peak_memory_mib() -> float:
    """The most memory that this process has held at once, in MiB."""
    if STATUS.exists():
        # On Linux, getrusage starts from what the parent process held when it started this one.
        match = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
        if match:
            return int(match[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def accelerator_facts() -> dict[str, Any]:
    """The names of the GPUs, and PyTorch's threads."""
    return {
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "torch_threads": torch.get_num_threads(),
    }
