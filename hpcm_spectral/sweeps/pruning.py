"""Stopping trials of an Optuna study that are worse than others were at the same epoch."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import Callback

from hpcm_spectral.config import RunSettings


class PruneTrial(Callback):
    """Reports ``val/loss`` after each validation, and ends the training if the study's pruner says so.

    Args:
        trial: An Optuna trial.
    """

    def __init__(self, trial: Any) -> None:
        self.trial = trial
        self.pruned = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and ask."""
        if trainer.sanity_checking:
            return
        epoch, prune = trainer.current_epoch + 1, False
        if trainer.is_global_zero:
            if epoch not in self.trial.storage.get_trial(self.trial._trial_id).intermediate_values:
                self.trial.report(trainer.callback_metrics["val/loss"].item(), step=epoch)
            # At the last epoch there is nothing left to save.
            prune = epoch < (trainer.max_epochs or 0) and self.trial.should_prune()
        if trainer.strategy.broadcast(prune):  # all processes of a training stop together
            self.pruned = trainer.should_stop = True


def pruning_callbacks(settings: RunSettings) -> list[Callback]:
    """The callback for a job that is a trial of a study, none for any other."""
    if settings.sweep.trial is None:
        return []
    from hpcm_spectral.sweeps.optuna_search import load_trial

    hydra = HydraConfig.get()
    return [PruneTrial(load_trial(Path(hydra.runtime.cwd, hydra.sweep.dir), settings.sweep.trial))]


def was_pruned(trainer: pl.Trainer) -> bool:
    """Whether a study ended the training."""
    return any(isinstance(callback, PruneTrial) and callback.pruned for callback in trainer.callbacks)  # type: ignore[attr-defined]
