"""Numbering the training samples, and loading them so that a resumed training continues where it stopped."""

import atexit
import signal
import weakref
from collections.abc import Iterator

from lightning.fabric.utilities.seed import pl_worker_init_function
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

# What a user or a scheduler sends to a training that has to go; the last one is what SLURM's --signal is set to.
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


class EpochSampler(DistributedSampler[int]):
    """Sample numbers that never repeat: epoch e of n samples yields e*n to (e+1)*n - 1, in order.

    A dataset that derives sample number k from k alone then gives the same stream of samples for any number
    of workers and after a resume at any epoch. Of several training processes each takes every
    ``world_size``-th number; a remainder that does not go round is left out.

    Args:
        samples_per_epoch: n over all processes, at least 1.
        rank: Number of this process, counted from 0.
        world_size: How many processes train together.

    Attributes:
        skip: How many numbers of this process the next iteration leaves out at its beginning.
    """

    # A DistributedSampler, so that Lightning uses it as it is: the wrapper that it puts around other samplers hides
    # set_epoch in some versions, which would repeat one epoch for ever.
    def __init__(self, samples_per_epoch: int, rank: int = 0, world_size: int = 1) -> None:
        numbers = range(samples_per_epoch)
        super().__init__(numbers, world_size, rank, shuffle=False, drop_last=True)  # type: ignore[arg-type]
        self.samples_per_epoch = samples_per_epoch
        self.skip = 0

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.samples_per_epoch
        return (start + number for number in list(super().__iter__())[self.skip :])


class ImageLoader(DataLoader[Tensor]):
    """A ``DataLoader`` for workers that `begin_worker` begins: it ends them where the program ends without doing so."""

    def __iter__(self) -> Iterator[Tensor]:  # type: ignore[override]
        iterator = super().__iter__()
        _iterators.add(iterator)
        return iterator


_iterators: weakref.WeakSet[Iterator[Tensor]] = weakref.WeakSet()


@atexit.register
def _end_workers() -> None:
    # Python would send a signal that they ignore, and wait for ever.
    for iterator in list(_iterators):
        if (end := getattr(iterator, "_shutdown_workers", None)) is not None:
            end()


class TrainingLoader(ImageLoader):
    """An `ImageLoader` with an `EpochSampler` that Lightning can stop and resume anywhere.

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


def begin_worker(number: int) -> None:
    """As Lightning does; signals that reach a whole group of processes are the main one's to obey."""
    for stop in STOP_SIGNALS:
        signal.signal(stop, signal.SIG_IGN)
    pl_worker_init_function(number)
