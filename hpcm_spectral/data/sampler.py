"""Numbering the training samples."""

from collections.abc import Iterator

from torch.utils.data.distributed import DistributedSampler


class EpochSampler(DistributedSampler[int]):
    """Sample numbers that never repeat: epoch e of n samples yields e*n to (e+1)*n - 1, in order.

    A dataset that derives sample number k from k alone then gives the same stream of samples for any number
    of workers and after a resume at any epoch. Of several training processes each takes every
    ``world_size``-th number; a remainder that does not go round is left out.

    It is a ``DistributedSampler`` so that Lightning uses it as it is: the wrapper that Lightning puts around
    other samplers hides ``set_epoch`` in some versions, which would repeat one epoch for ever.

    Args:
        samples_per_epoch: n over all processes, at least 1.
        rank: Number of this process, counted from 0.
        world_size: How many processes train together.

    Attributes:
        skip: How many numbers of this process the next iteration leaves out at its beginning.
    """

    def __init__(self, samples_per_epoch: int, rank: int = 0, world_size: int = 1) -> None:
        numbers = range(samples_per_epoch)
        super().__init__(numbers, world_size, rank, shuffle=False, drop_last=True)  # type: ignore[arg-type]
        self.samples_per_epoch = samples_per_epoch
        self.skip = 0

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.samples_per_epoch
        return (start + number for number in list(super().__iter__())[self.skip :])
