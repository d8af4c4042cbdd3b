"""Spectral diagnostics during training, on fixed validation photographs."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from jaxtyping import Float
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import Dataset

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import CheckpointError, SettingError
from hpcm_spectral.metrics import band_edges, radial_spectrum
from hpcm_spectral.metrics.scale_spectra import scale_spectra
from hpcm_spectral.runs.spectra import FILE, ScaleSpectra, SpectralHistory, read_spectral_history
from hpcm_spectral.training.module import CodecModule

log = logging.getLogger(__name__)
SIDE_MULTIPLE = 64
PICTURE = "spectral/evolution"


class SpectralDiagnostics(Callback):
    """Measures which frequencies each scale explains and what it costs, and keeps it in the run folder.

    It acts after the validation of every ``every_n_epochs``-th epoch, or the first one after that, and of the last
    epoch, of a codec with several rate levels at its middle one. Training is bit-identical with and without it. A
    resumed run continues the file from its checkpoint on.

    Args:
        every_n_epochs: At least 1.
        images: Number of validation photographs, the first ones; at least 1, and all if there are fewer.
        bands: Number of radial bands, at least 1.
        max_side: Photographs are cropped to this at their centre; a multiple of 64.
        folder: The run folder.
        codec: What is trained.
        photographs: The validation photographs, [3, H, W] in [0, 1].
        draw: Draws a history and returns the picture's file; called where Weights & Biases logs.

    Attributes:
        seconds: What it has cost in this session.

    Raises:
        ValueError: A setting is out of its range; the message starts with its name.
        UserError: The folder's diagnostics are damaged, or of other photographs or bands.
    """

    def __init__(
        self,
        every_n_epochs: int = 5,
        images: int = 2,
        bands: int = 64,
        max_side: int = 256,
        *,
        folder: Path,
        codec: Codec,
        photographs: Dataset[torch.Tensor],
        draw: Callable[[SpectralHistory], Path],
    ) -> None:
        for name, value in (("every_n_epochs", every_n_epochs), ("images", images), ("bands", bands)):
            if value < 1:
                raise SettingError(name, f"must be at least 1, got {value}.")
        if max_side < 1 or max_side % SIDE_MULTIPLE:
            raise SettingError("max_side", f"must be a positive multiple of {SIDE_MULTIPLE}, got {max_side}.")
        self.codec = codec
        self.every_n_epochs = every_n_epochs
        self.folder = folder
        self.draw = draw
        self.seconds = 0.0
        self.band_edges = band_edges(bands).numpy()
        count = min(images, len(photographs))  # type: ignore[arg-type]
        self.photographs = [centre(photographs[index], max_side) for index in range(count)]
        self.history = read_spectral_history(folder)
        if self.history is not None and not self._measures_the_same_as(self.history):
            raise CheckpointError(
                f"{folder / FILE} must hold the bands and photographs that are measured now, but holds others; "
                "restore diagnostics.bands, images and max_side, or move the file away."
            )

    def _measures_the_same_as(self, history: SpectralHistory) -> bool:
        if len(history.band_edges) != len(self.band_edges):
            return False
        bands = len(self.band_edges) - 1
        ours = torch.stack([radial_spectrum(x, bands)[1] for x in self.photographs]).mean(0).numpy()
        return np.allclose(ours, history.image_energy, rtol=1e-6, atol=1e-9 * ours.sum())

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the epochs that the run will take again."""
        assert isinstance(pl_module, CodecModule)
        if self.history is not None:
            self.history = self.history.up_to(pl_module.resumed_progress())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure if it is time to. Lightning has the module in evaluation mode here, without gradients.

        Not at the validation's end, when averaged weights have left the codec.
        """
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, CodecModule)
        epoch = pl_module.validated_progress()
        if not self._is_due(epoch, trainer.max_epochs):
            return
        started = time.monotonic()
        moment = SpectralHistory.starting(epoch, self._measure(trainer, pl_module), self.band_edges)
        self.history = moment if self.history is None else self.history.followed_by(moment)
        self.history.write(self.folder)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                picture = str(self.draw(self.history))
                logger.log_image(PICTURE, [picture], step=trainer.fit_loop.epoch_loop._batches_that_stepped)
        self.seconds += time.monotonic() - started

    def _is_due(self, epoch: float, max_epochs: int | None) -> bool:
        last = 0.0 if self.history is None else float(max(self.history.epochs, default=0.0))
        is_last = max_epochs is not None and epoch >= max_epochs
        return epoch > last and (is_last or epoch // self.every_n_epochs > last // self.every_n_epochs)

    def _measure(self, trainer: pl.Trainer, module: CodecModule) -> ScaleSpectra:
        measured, level = [], self.codec.at_level(self.codec.middle_level)
        precision = trainer.precision_plugin
        for photograph in self.photographs:
            x = photograph[None].to(module.device).contiguous(memory_format=module.memory_format)
            with precision.val_step_context():
                measured.append((x, self.codec.reconstructions(precision.convert_input(x), **level)))
        return scale_spectra(measured, len(self.band_edges) - 1)


def centre(image: Float[torch.Tensor, "3 H W"], side: int) -> Float[torch.Tensor, "3 h w"]:
    """The middle of an image, at most ``side`` pixels high and wide."""
    top, left = (max(0, (size - side) // 2) for size in image.shape[-2:])
    return image[:, top : top + side, left : left + side]
