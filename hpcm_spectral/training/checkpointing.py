"""Checkpoints that a kill cannot leave half written."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.files import whole_file
from hpcm_spectral.runs.folder import BEST, CHECKPOINTS, LAST

# In a checkpoint: where it was written.
RUN_FOLDER = "run_folder"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the old checkpoint and then replaces it.

    Lightning's own goes through the system's temporary folder, and a move from there to another file system is a
    copy that can be cut short.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save ``checkpoint`` at ``path``, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            torch.save(checkpoint, temporary)


class RandomState(Callback):
    """Keeps PyTorch's random state in checkpoints, so that a resumed run draws the noise it would have drawn."""

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """States of the CPU's and the current GPU's generator."""
        gpu = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        return {"cpu": torch.get_rng_state(), "gpu": gpu}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the states until training starts; setting up draws random numbers, too."""
        self._restored = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on where the checkpoint was taken; of several processes each draws noise of its own."""
        if trainer.world_size > 1:
            place = (torch.initial_seed(), trainer.current_epoch, trainer.global_step, trainer.global_rank)
            torch.manual_seed(hash(place) % 2**63)
        elif self._restored is not None:
            torch.set_rng_state(self._restored["cpu"].cpu())
            if self._restored["gpu"] is not None and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._restored["gpu"].cpu())
        self._restored = None


class BestCheckpoint(ModelCheckpoint):
    """Keeps the weights of the validation with the least ``val/loss``: at once, or with the epoch that ends with it."""

    @property
    def state_key(self) -> str:
        """The base class's, by which the states in older checkpoints go."""
        return super().state_key.replace(type(self).__name__, ModelCheckpoint.__name__, 1)

    def _should_save_on_train_epoch_end(self, trainer: pl.Trainer) -> bool:
        return bool(trainer.fit_loop.epoch_loop.batch_progress.is_last_batch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep them if there has been a validation."""
        if self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)


def checkpoint_callbacks(run_folder: Path) -> list[Callback]:
    """Random state, ``last`` after every epoch, ``best`` by the least ``val/loss``."""
    folder = run_folder / CHECKPOINTS
    for left in folder.glob(".*.ckpt"):  # a kill while writing leaves its temporary file
        left.unlink(missing_ok=True)
    # Saved at the very end of an epoch: what lies within one would be trained again after a resume.
    common: dict[str, Any] = {"dirpath": folder, "save_top_k": 1, "save_on_train_epoch_end": True}
    common["enable_version_counter"] = False
    best = BestCheckpoint(filename=BEST, monitor="val/loss", mode="min", **common)
    last = ModelCheckpoint(filename=LAST, every_n_epochs=1, **common)
    return [RandomState(), best, last]


def adapt_states(checkpoint: dict[str, Any], run_folder: Path) -> None:
    """Have the states of callbacks in a checkpoint follow the run folder, and clocks begin anew.

    Lightning drops the best score of a run whose folder has moved, and counts a limit of time over all sessions.
    """
    states = checkpoint.get("callbacks", {})
    states.pop(Timer.__qualname__, None)
    # Older checkpoints do not name their folder.
    places = (state["dirpath"] for key, state in states.items() if key.startswith(ModelCheckpoint.__name__))
    old = Path(checkpoint.get(RUN_FOLDER) or next((Path(p).parent for p in places if Path(p).name == CHECKPOINTS), ""))
    new = run_folder.resolve()

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {moved(key): moved(item) for key, item in value.items()}
        inside = isinstance(value, str) and value.startswith(f"{old}{os.sep}")
        return str(new / Path(value).relative_to(old)) if inside else value

    for key, state in list(states.items()):
        if key.startswith(ModelCheckpoint.__name__):
            states[key] = moved(state)
            best = states[key].get("best_model_path")
            if best and not Path(best).exists():  # the best of those that are there counts
                del states[key]


def epochs_done(checkpoint: Mapping[str, Any]) -> int:
    """How many epochs a checkpoint has gone through whole."""
    return int(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of this program, without running any code that a file could bring along.

    Raises:
        CheckpointError: The file is damaged or something else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} must be a checkpoint of this program, but does not exist.")
    try:
        checkpoint = torch.load(path, weights_only=True, map_location="cpu")
    except Exception:  # unpickling a file of any content can raise anything
        raise CheckpointError(
            f"{path} must be a checkpoint of this program, but it is damaged or something else."
        ) from None
    needed = {"state_dict", "epoch", "global_step", "optimizer_states", "loops", "pytorch-lightning_version"}
    complete = isinstance(checkpoint, dict) and needed <= checkpoint.keys()
    if not complete or not isinstance(checkpoint["state_dict"], dict):
        raise CheckpointError(f"{path} must be a checkpoint of this program, but holds no training state.")
    return checkpoint


def check_fits(checkpoint: Mapping[str, Any], module: pl.LightningModule, path: Path) -> None:
    """Refuse a checkpoint of another model or other stages.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape; the message names the first.
    """
    theirs, ours = checkpoint["state_dict"], module.state_dict()
    for key in sorted(theirs.keys() | ours.keys()):
        got, expected = (tuple(state[key].shape) if key in state else None for state in (theirs, ours))
        if got != expected:
            raise CheckpointError(
                f"{path} must fit the model and its stages, but its {key} is {got or 'missing'} instead of "
                f"{expected or 'absent'}; choose the settings it was trained with."
            )
