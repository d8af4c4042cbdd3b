"""When stages act: said before training, and written into the run folder as it happens."""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from hpcm_spectral.errors import ConfigError, one_line
from hpcm_spectral.runs.phases import PhaseRecord, read_phases, write_phases
from hpcm_spectral.stages import InputStage, Stage
from hpcm_spectral.training.module import CodecModule, count_parameters

log = logging.getLogger(__name__)


class PhaseRecorder(Callback):
    """Keeps ``phases.json``: when each stage began and ended.

    Args:
        folder: The run folder.
        stages: The stages, prepared, by the keys of their settings.

    Raises:
        ConfigError: A stage describes itself by more than plain values.
    """

    def __init__(self, folder: Path, stages: Mapping[str, Stage]) -> None:
        self.folder = folder
        self.stages = stages
        self.records: list[PhaseRecord] = []
        for key, stage in stages.items():
            try:
                json.dumps(stage.describe())
            except TypeError as error:
                raise ConfigError(f"{key} must describe itself by plain values, but: {one_line(error)}.") from None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what is planned, and of an earlier session what had happened before the checkpoint."""
        assert isinstance(pl_module, CodecModule)
        now = pl_module.resumed_progress()
        earlier = {record.key: record for record in read_phases(self.folder) or []}
        self.records = []
        for key, stage in self.stages.items():
            # A folder from before there was such a file tells nothing: it went as planned.
            window = (stage.start_epoch, stage.end_epoch)
            planned = PhaseRecord(key, stage.phase, *window, *window)
            old = earlier.get(key, planned)
            began, ended = (when if when is not None and when < now else None for when in (old.began, old.ended))
            self.records.append(replace(planned, began=began, ended=ended, description=stage.describe()))
        self._write(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any) -> None:
        """Note what has begun or ended with this step."""
        assert isinstance(pl_module, CodecModule)
        assert pl_module.latest is not None
        progress = pl_module.latest.progress
        before = list(self.records)
        for place, (record, stage) in enumerate(zip(before, self.stages.values(), strict=True)):
            if stage.is_active(progress) and record.began is None:
                self.records[place] = replace(record, began=progress)
            elif record.began is not None and record.ended is None and not stage.is_active(progress):
                self.records[place] = replace(record, ended=progress)
        if self.records != before:
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            write_phases(self.folder, self.records)


def announce(stages: Mapping[str, Stage], max_epochs: int) -> None:
    """Say when each stage will act, and warn of windows that training does not reach."""
    ends = f"training ends at epoch {max_epochs} (trainer.max_epochs)"
    for stage in stages.values():
        start, phase = f"epoch {stage.start_epoch:g}", stage.phase
        end = "the end" if stage.end_epoch is None else f"epoch {stage.end_epoch:g}"
        if stage.start_epoch >= max_epochs:
            log.warning("%s starts at %s and %s: it never acts.", phase, start, ends)
        else:
            own = count_parameters(stage)
            parameters = f", with {own:,} training-only parameters" if own else ""
            remark = f", and {stage.remark}" if stage.remark else ""
            log.info("%s acts from %s to %s of %d%s%s", phase, start, end, max_epochs, parameters, remark)
            if stage.full_from > max_epochs:
                log.warning(
                    "%s reaches its full weight at epoch %g, after the end of training.", phase, stage.full_from
                )
        if isinstance(stage, InputStage) and stage.end_epoch is not None and stage.end_epoch >= max_epochs:
            log.warning("%s lasts until %s and %s: no epoch sees unchanged images.", phase, end, ends)
