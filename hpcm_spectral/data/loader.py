"""A data loader that a resumed training continues at the batch where it stopped."""

from collections.abc import Iterator

from torch import Tensor
from torch.utils.data import DataLoader

from hpcm_spectral.data.sampler import EpochSampler


class TrainingLoader(DataLoader[Tensor]):
    """A ``DataLoader`` with an `EpochSampler` that Lightning can stop and resume anywhere.

    Its workers get their first orders with the first batch that is asked for: Lightning makes the iterator of
    a resumed training before it tells the sampler the epoch, and workers that started at once would load the
    beginning of epoch 0. Lightning keeps ``state_dict`` in its checkpoints.

    It takes the arguments of ``DataLoader``. With another sampler, which Lightning's ``overfit_batches`` puts
    in, every iteration starts at its first batch.
    """

    _given = 0
    _resume_epoch = -1
    _resume_batch = 0

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, -1 without an `EpochSampler`, and how many of its batches have been given out."""
        epoch = self.sampler.epoch if isinstance(self.sampler, EpochSampler) else -1
        return {"epoch": epoch, "batches": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Leave out the batches given out already, if the next epoch is the one of ``state``."""
        self._resume_epoch, self._resume_batch = state["epoch"], state["batches"]

    def __iter__(self) -> Iterator[Tensor]:  # type: ignore[override]
        self._given = 0
        if isinstance(self.sampler, EpochSampler) and self.batch_size is not None:
            if self.sampler.epoch == self._resume_epoch:
                self._given = self._resume_batch
            self.sampler.skip = self._given * self.batch_size
        self._resume_epoch = -1
        for batch in super().__iter__():
            self._given += 1
            yield batch
