"""What is shown and logged of the steps: the phase in the logs, a progress bar, a line per epoch."""

import logging
import sys
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import WandbLogger

from hpcm_spectral.training.csv_logger import RunCsvLogger
from hpcm_spectral.training.module import CodecModule

log = logging.getLogger(__name__)
SHOWN = {"loss": "train/rd_loss", "bpp": "train/bpp_loss", "psnr": "train/psnr"}
TAU, EXPLAINED = "spectral/tau", "spectral/explained_"


class LogPhase(Callback):
    """Writes ``spectral/*``: the phase, a word for loggers that take one, and what the stages that act log.

    Lightning's own logging takes no words, and repeats a number that was logged once until the epoch ends.

    Args:
        csv: The run's CSV file, which a resumed run continues.
    """

    def __init__(self, csv: RunCsvLogger) -> None:
        self.csv = csv

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drop the rows of steps that the run will take again."""
        loop = trainer.fit_loop
        # Lightning numbers rows by batches, not by optimizer steps, and within an epoch saves before it counts.
        self.csv.forget_from(loop.epoch_loop._batches_that_stepped + int(loop.restarted_mid_epoch))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any) -> None:
        """Log the phase and the stages' numbers beside the other metrics of the step."""
        assert isinstance(pl_module, CodecModule)
        assert pl_module.latest is not None
        if trainer._logger_connector.should_update_logs:
            # The number that Lightning gives to the row with the step's other metrics, which follows.
            step = trainer.fit_loop.epoch_loop._batches_that_stepped
            numbers = {key: float(value) for key, value in pl_module.latest.numbers.items()}
            for logger in trainer.loggers:
                takes_text = isinstance(logger, (RunCsvLogger, WandbLogger))
                phase: dict[str, Any] = {"spectral/phase": pl_module.latest.phase} if takes_text else {}
                logger.log_metrics({**phase, **numbers}, step=step)


def shown_metrics(trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, str]:
    """Rate-distortion loss, bpp and PSNR of the latest step, tau and explained shares where stages have them."""
    assert isinstance(pl_module, CodecModule)
    latest = trainer.callback_metrics
    shown = {name: f"{latest[key].item():.3f}" for name, key in SHOWN.items() if key in latest}
    stages = pl_module.latest.numbers if pl_module.latest else {}
    if TAU in stages:
        shown["tau"] = f"{float(stages[TAU]):.3f}"
    if explained := [f"{float(value):.3f}" for key, value in stages.items() if key.startswith(EXPLAINED)]:
        shown["explained"] = " ".join(explained)
    return shown


class Bar(TQDMProgressBar):
    """A progress bar with short names and fixed digits."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What the bar shows."""
        return dict(shown_metrics(trainer, pl_module))


class EpochLines(Callback):
    """One line per epoch: in the run's log, and where output goes to a file or a pipe all there is to see."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._first_epoch = 0
        self._validated = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start, self._first_epoch = time.monotonic(), trainer.current_epoch

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember that the epoch has figures of its own."""
        self._validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say where training and validation stand and how long the rest will take."""
        epoch, total = trainer.current_epoch + 1, trainer.max_epochs or 0
        elapsed = time.monotonic() - self._start
        left = elapsed / (epoch - self._first_epoch) * (total - epoch)
        latest = trainer.callback_metrics
        parts = [f"{name} {value}" for name, value in shown_metrics(trainer, pl_module).items()]
        if self._validated:
            validated = {key: latest[f"val/{key}"].item() for key in ("loss", "bpp_loss", "psnr")}
            parts += [f"val {name.removesuffix('_loss')} {value:.3f}" for name, value in validated.items()]
            self._validated = False
        if trainer.is_global_zero:
            log.info("epoch %d/%d: %s (%.0f s, about %.0f s left)", epoch, total, ", ".join(parts), elapsed, left)


def progress_display() -> list[Callback]:
    """A line per epoch, and a progress bar on a terminal."""
    return [EpochLines(), *([Bar(refresh_rate=10)] if sys.stderr.isatty() else [])]
