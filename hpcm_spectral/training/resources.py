"""What a process uses."""

import contextlib
import re
import resource
import sys
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")


def peak_memory_mib() -> float:
    """The most memory that this process has held at once, in MiB."""
    if STATUS.exists():
        # On Linux, getrusage starts from what the parent process held when it started this one.
        match = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
        if match:
            return int(match[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def forget_peak_memory() -> None:
    """Begin anew, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def accelerator_facts() -> dict[str, Any]:
    """What provenance notes of PyTorch's side of the machine: the names of its GPUs, and its threads."""
    return {
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "torch_threads": torch.get_num_threads(),
    }
