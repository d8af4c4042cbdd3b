"""Launchers and sweepers that need packages of their own."""

from collections.abc import Sequence
from importlib.util import find_spec

from hpcm_spectral.errors import ConfigError

# The variables that tell Lightning which of several processes this is, in its order.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
# By choice on the command line: the module it needs, and the extra that brings it.
NEEDED = {
    "hydra/launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra/launcher=ray": ("hydra_plugins.hydra_ray_launcher", "ray"),
    "hydra/sweeper=optuna": ("optuna", "optuna"),
}


def refuse_missing(arguments: Sequence[str]) -> None:
    """Name the extra that a choice needs, before Hydra fails to find it.

    Raises:
        ConfigError: It is not installed.
    """
    for argument in arguments:
        module, extra = NEEDED.get(argument, (None, ""))
        if module is not None and find_spec(module) is None:
            raise ConfigError(f"{argument} needs packages that are not installed; pip install -e '.[{extra}]'.")
