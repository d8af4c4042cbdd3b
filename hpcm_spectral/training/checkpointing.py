"""Checkpoints that a kill cannot leave half written."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
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


def checkpoint_callbacks(run_folder: Path) -> list[ModelCheckpoint]:
    """``last`` after every epoch, ``best`` by the least ``val/loss``."""
    folder = run_folder / FOLDER
    best = ModelCheckpoint(
        dirpath=folder, filename=BEST, monitor="val/loss", mode="min", save_top_k=1, enable_version_counter=False
    )
    last = ModelCheckpoint(
        dirpath=folder, filename=LAST, save_top_k=1, every_n_epochs=1, enable_version_counter=False
    )
    return [best, last]


def checkpoint_path(run_folder: Path, name: str) -> Path:
    """Where a run folder keeps its checkpoint ``name``."""
    return run_folder / FOLDER / f"{name}.ckpt"
