"""The order of examples: batches of alike lengths, so that little is padded."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

GOLDEN = (3 - 5**0.5) / 2  # of all numbers below 1/2, the one whose multiples, modulo 1, are the most evenly spread
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


class EvaluationBatches:
    """Evaluation batches of similar source length: little padding, and a part of them is like the whole.

    Where the trainer takes only some batches, a sample of the rows is drawn for them (`fair_sample`). In either case
    batches of all lengths follow one another (`spread`), so that whatever a run stops after is like the whole, too.

    Whole batches are dealt to processes, so that a batch is the same, to the bit, however many there are. Each process
    has equally many, as collective operations need; where they do not divide, the last batch comes several times, which
    the row numbers of its examples tell.

    Args:
        lengths: Tokens of each example's source.
        groups: Of each example; those of a group are drawn together.
        batch_size: Examples per batch; the last one formed may be smaller.
        seed: Of the sample, and of the order of equally long examples.
        rank: This process's number, from 0.
        world_size: Number of processes.
        limit: Batches per process that the trainer takes, or their share of all (`trainer.limit_val_batches`).

    Attributes:
        rows: Numbers of the examples that are evaluated.
    """

    def __init__(
        self,
        lengths: npt.ArrayLike,
        groups: npt.ArrayLike,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        limit: int | float = 1.0,
    ) -> None:
        lengths = np.asarray(lengths)
        self.all_batches = -(-len(lengths) // (batch_size * world_size))
        count = taken(self.all_batches, limit) * batch_size * world_size
        self.rows = fair_sample(lengths, groups, count, seed) if count < len(lengths) else np.arange(len(lengths))
        batches = _cut(self.rows[_by_length(lengths[self.rows], seed)], batch_size)
        of_mean_length = float((lengths > lengths.mean()).mean())  # a first batch that is like the whole
        batches = [batches[place] for place in spread(len(batches), of_mean_length)]
        last = len(batches) - 1
        self.batches = [batches[min(i + rank, last)] for i in range(0, len(batches), world_size)]

    def __len__(self) -> int:
        """Batches per process of all examples, of which the trainer takes its part."""
        return self.all_batches

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def taken(batches: int, limit: int | float) -> int:
    """How many of a loader's batches the trainer takes: a number of them (int), or a share (float)."""
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def fair_sample(lengths: npt.NDArray[np.int64], groups: npt.ArrayLike, count: int, seed: int) -> npt.NDArray[np.int64]:
    """At most `count` examples that are like the whole: each equally likely, of all lengths, in whole groups.

    A function of its arguments; a smaller sample is part of a larger one. Where the first group is larger than `count`,
    it is cut.

    Returns:
        Their numbers, ascending.
    """
    _, group_of, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    longest = np.zeros(len(sizes))
    np.maximum.at(longest, group_of, lengths)
    drawn = _by_length(longest, seed)[spread(len(sizes), np.random.default_rng(seed).random())]
    whole = max(1, int(np.searchsorted(sizes[drawn].cumsum(), count, side="right")))
    return np.flatnonzero(np.isin(group_of, drawn[:whole]))[:count]


def spread(count: int, start: float) -> npt.NDArray[np.int64]:
    """A permutation of the numbers below `count` that begins at `start * count`, its first n evenly spread for every n.

    The ranks of a Kronecker sequence of the golden ratio.
    """
    return np.argsort(np.argsort((start + np.arange(count) * GOLDEN) % 1))


def _by_length(lengths: npt.NDArray[Any], seed: int) -> npt.NDArray[np.int64]:
    """The longest first; equally long ones in random order, since those of a file often go by their label."""
    return np.lexsort((np.random.default_rng(seed).permutation(len(lengths)), -lengths))


def _cut(order: npt.NDArray[np.int64], size: int) -> list[list[int]]:
    return [order[start : start + size].tolist() for start in range(0, len(order), size)]
