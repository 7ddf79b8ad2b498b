"""The order of examples: batches of alike lengths, so that little is padded."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

JITTER = 0.05  # relative; lets the composition of batches change from epoch to epoch for about 1 % more padding


class LengthGroupedBatches:
    """Training batches of similar source length, in random order; a function of (seed, epoch) and nothing else.

    Lightning calls `set_epoch` before each epoch, so a resumed run sees the batches of the run that was stopped. It may
    call `iter()` before that, so `__iter__` must stay a generator: it reads the epoch with the first batch.

    A process may get an empty share of an epoch's smallest batch.

    Args:
        lengths: Tokens of each example's source.
        batch_size: Examples per batch; the last one formed may be smaller.
        seed: Of the run.
        rank: This process's number, from 0.
        world_size: Number of processes. Each takes its share of every batch of `world_size * batch_size` examples, so
            that all have equally long ones at each step.
    """

    def __init__(self, lengths: npt.ArrayLike, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size * world_size
        self.seed = seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        keys = self.lengths * rng.uniform(1 - JITTER, 1 + JITTER, len(self.lengths))
        batches = _cut(np.argsort(keys), self.batch_size)
        for i in rng.permutation(len(batches)):
            yield batches[i][self.rank :: self.world_size]


class LongestFirstBatches:
    """Evaluation batches, longest first: least padding, and a lack of memory shows at once.

    Whole batches are dealt to processes, so that a batch is the same, to the bit, however many there are. Each process
    has equally many, as collective operations need; where they do not divide, the last batch comes several times, which
    the row numbers of its examples tell.

    Args:
        lengths: Tokens of each example's source.
        batch_size: Examples per batch; the last one may be smaller.
        rank: This process's number, from 0.
        world_size: Number of processes.
    """

    def __init__(self, lengths: npt.ArrayLike, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        batches = _cut(np.argsort(-np.asarray(lengths), kind="stable"), batch_size)
        last = len(batches) - 1
        self.batches = [batches[min(i + rank, last)] for i in range(0, len(batches), world_size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def _cut(order: npt.NDArray[np.int64], size: int) -> list[list[int]]:
    return [order[start : start + size].tolist() for start in range(0, len(order), size)]
