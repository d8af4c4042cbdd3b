"""Ending a training between two steps, so that it goes on later as if it had never ended."""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, Timer

from hpcm_spectral.data.loader import STOP_SIGNALS
from hpcm_spectral.runs.folder import LAST, checkpoint_path

log = logging.getLogger(__name__)
Reason = Literal["signal", "max_time", "max_steps", "criterion", "callback"]
# A terminal and a launcher send the same signal twice: what follows within seconds is no second one.
ECHO_S = 3.0


class TrainingStopped(Exception):  # noqa: N818  no error
    """A training has ended before its last epoch; its checkpoint ``last`` holds all that was done."""


class Stopping(Checkpoint):
    """Keeps the state between two steps and ends the training there, when a signal, a limit or a callback asks for it.

    Lightning itself would take the step for the end of its epoch, whose other steps a resumed run would miss. At the
    end of an epoch there is nothing to keep that the checkpoint of the epoch does not hold.

    A checkpoint in Lightning's sense, as those act after all other callbacks.

    Args:
        run_folder: Where checkpoints lie.

    Attributes:
        reason: Why the training ended or is to end before its last epoch; None: it is not to.
        signal: Which one asked first; None: none did in this process.
        kept: Whether the state is kept for a resume between two steps of an epoch.
    """

    def __init__(self, run_folder: Path) -> None:
        self.path = checkpoint_path(run_folder, LAST)
        self.reason: Reason | None = None
        self.signal: signal.Signals | None = None
        self.kept = False
        self._max_steps = -1
        self._seen: dict[int, float] = {}
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the limit of steps over from Lightning, and the signals."""
        self._max_steps, trainer.fit_loop.epoch_loop.max_steps = trainer.max_steps, -1
        self.kept = False
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any) -> None:
        """Keep the state if the training is to end here."""
        self._consider(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the state again, with what the validation has changed."""
        if not trainer.sanity_checking:
            self._consider(trainer)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """End the training, once the former step has been logged and validated.

        Raises:
            TrainingStopped: It was to end.
        """
        if self.kept:
            raise TrainingStopped

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the training between two epochs.

        Raises:
            TrainingStopped: It was to end.
        """
        if self._is_asked(trainer) and trainer.current_epoch > 0:
            self.kept = True  # by the checkpoint of the epoch before
            raise TrainingStopped

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note why it ended."""
        if trainer.should_stop and self.reason is None and trainer.current_epoch < (trainer.max_epochs or 0):
            self.reason = _who_stopped(trainer)

    def _consider(self, trainer: pl.Trainer) -> None:
        progress = trainer.fit_loop.epoch_loop.batch_progress
        if progress.is_last_batch or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if trainer.should_stop and _may_stop(trainer):
            trainer.should_stop = False  # with it Lightning would end the epoch
            self.reason = self.reason or _who_stopped(trainer)
        # Gradients that wait for more are in no checkpoint.
        if progress.current.ready % trainer.accumulate_grad_batches == 0 and self._is_asked(trainer):
            trainer.save_checkpoint(self.path)
            self.kept = True

    def _is_asked(self, trainer: pl.Trainer) -> bool:
        """Whether any of the processes that train together is to stop, or the limit is reached."""
        if self.reason is None and 0 <= self._max_steps <= trainer.global_step:
            self.reason = "max_steps"
        if trainer.strategy.reduce_boolean_decision(self.reason is not None, all=False):
            self.reason = self.reason or "signal"
        return self.reason is not None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Stop on the signals of a user or a scheduler; the second one of a kind ends the process at once.

        Handlers of others, such as a launcher's, stay. Outside the main thread there are no signals.
        """
        previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            own = (signal.SIG_DFL, signal.default_int_handler)
            previous = {number: now for number in STOP_SIGNALS if (now := signal.getsignal(number)) in own}
        self._handlers = dict.fromkeys(previous, self._ask)
        try:
            yield
        finally:
            self._handlers = {}
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if now - self._seen.setdefault(number, now) > ECHO_S:
            raise KeyboardInterrupt
        if self.reason is None:
            self.reason, self.signal = "signal", signal.Signals(number)
            log.info("%s: stopping after this step and its validation; once more stops at once", self.signal.name)

    def interruption(self) -> KeyboardInterrupt | SystemExit:
        """What unwinds the process as the signal would have; its exit status tells a scheduler which it was."""
        if self.signal is None or self.signal == signal.SIGINT:
            return KeyboardInterrupt()
        return SystemExit(128 + self.signal)


def _may_stop(trainer: pl.Trainer) -> bool:
    """Whether Lightning would let the training end before its time."""
    return trainer.current_epoch >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)


def _who_stopped(trainer: pl.Trainer) -> Reason:
    if any(isinstance(c, Timer) and (c.time_remaining() or 1.0) <= 0 for c in trainer.callbacks):  # type: ignore[attr-defined]
        return "max_time"
    if any(c.stopping_reason_message for c in trainer.early_stopping_callbacks if isinstance(c, EarlyStopping)):
        return "criterion"
    return "callback"
