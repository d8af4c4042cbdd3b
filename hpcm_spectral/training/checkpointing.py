"""Checkpoints that a kill cannot leave half written."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from hpcm_spectral.files import whole_file

FOLDER, LAST, BEST = "checkpoints", "last", "best"


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
    """Keeps the state of PyTorch's generators in checkpoints, so that a resumed run draws the noise it would have drawn."""

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """States of the CPU's and every GPU's generator."""
        return {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the states until training starts; setting up draws random numbers, too."""
        self._restored = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on where the checkpoint was taken."""
        if self._restored is not None:
            torch.set_rng_state(self._restored["cpu"].cpu())
            for device, state in enumerate(self._restored["cuda"][: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(state.cpu(), device)
            self._restored = None


def checkpoint_callbacks(run_folder: Path) -> list[Callback]:
    """Random state, ``last`` after every epoch, ``best`` by the least ``val/loss``."""
    folder = run_folder / FOLDER
    best = ModelCheckpoint(
        dirpath=folder,
        filename=BEST,
        monitor="val/loss",
        mode="min",
        save_top_k=1,
        enable_version_counter=False,
    )
    last = ModelCheckpoint(dirpath=folder, filename=LAST, save_top_k=1, every_n_epochs=1, enable_version_counter=False)
    return [RandomState(), best, last]


def checkpoint_path(run_folder: Path, name: str) -> Path:
    """Where a run folder keeps its checkpoint ``name``."""
    return run_folder / FOLDER / f"{name}.ckpt"
