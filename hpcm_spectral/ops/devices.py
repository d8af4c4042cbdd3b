"""Which device to compute on, and waiting for it."""

import torch

from hpcm_spectral.errors import ConfigError


def check_device(name: str) -> torch.device:
    """The device that a program's ``device`` names.

    Raises:
        ConfigError: It is neither ``cpu`` nor ``cuda``, or there is no GPU.
    """
    if name != "cpu" and not (name == "cuda" and torch.cuda.is_available()):
        raise ConfigError(f"device must be cpu, or cuda where there is a GPU, got {name!r}.")
    return torch.device(name)


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
