"""Where Hydra looks for plugins; it imports this at every start, so the work is done elsewhere."""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """``hydra/sweeper=optuna``; see :class:`hpcm_spectral.sweeps.optuna_search.OptunaSearch` for the settings."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See Hydra's ``Sweeper``."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search until enough trials are done."""
        from hpcm_spectral.sweeps.optuna_search import OptunaSearch

        OptunaSearch(**self.settings).run(self, arguments)
