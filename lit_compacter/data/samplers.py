"""The order of examples: batches of similar lengths, which need little padding."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

GOLDEN_RATIO = (3 - 5**0.5) / 2  # below 1/2; its multiples, modulo 1, are the most evenly spread
JITTER = 0.02  # relative; lets the composition of batches change from epoch to epoch for up to 1 % more padding


class OrderSettings(TypedDict):
    """What the order of training batches depends on, besides the rows and the epoch."""

    seed: int
    batch_size: int  # of all processes together
    max_tokens: NotRequired[str]  # of each process × processes; there is none without data.max_tokens_per_batch
    buffer_size: NotRequired[int]  # of a stream


class LengthGroupedBatchSampler:
    """Training batches of similar source length, in random order; a function of (seed, epoch) and nothing else.

    Lightning calls `set_epoch` before each epoch, so a resumed run sees the batches of the run that was stopped. It may
    call `iter()` before that, so `__iter__` must stay a generator, which reads the epoch at the first batch.

    All epochs have the same number of batches, of the same sizes. With `max_tokens`, the sizes are those that also
    leave room for the longest examples that the jitter can move into a batch.

    The share of a rank can be empty in an epoch's smallest batch.

    Args:
        lengths: Number of source tokens of each example.
        batch_size: Most examples per batch and process.
        seed: Seed of the order.
        rank: Rank of this process.
        world_size: Number of processes. Each takes its share of every batch of `world_size` times as many examples, so
            that all ranks have examples of similar lengths at each step.
        max_tokens: Most source tokens per batch and process, with padding, unless a single example has more.
    """

    def __init__(
        self,
        lengths: npt.ArrayLike,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        max_tokens: int | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size * world_size
        self.seed = seed
        self.rank, self.world_size = rank, world_size
        self.max_tokens = max_tokens
        self.epoch = 0
        longest = np.sort(self.lengths) * (1 + JITTER) // (1 - JITTER)  # that the jitter can move to each place
        self._starts = _starts(longest.clip(max=self.lengths.max()), batch_size, max_tokens, world_size)

    @property
    def settings(self) -> OrderSettings:
        """What a resumed run must keep in the middle of an epoch."""
        settings: OrderSettings = {"seed": self.seed, "batch_size": self.batch_size}
        if self.max_tokens is not None:
            settings["max_tokens"] = f"{self.max_tokens} × {self.world_size}"
        return settings

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        keys = self.lengths * rng.uniform(1 - JITTER, 1 + JITTER, len(self.lengths))
        batches = _cut(np.argsort(keys), self._starts)
        for i in rng.permutation(len(batches)):
            yield batches[i][self.rank :: self.world_size].tolist()


class EvaluationBatchSampler:
    """Evaluation batches of similar source length, ordered so that the first n batches are representative for every n.

    If the trainer uses only some batches, they hold a sample of the rows (`stratified_sample`). In either case, the
    order mixes batches of all lengths (`golden_ratio_order`).

    Whole batches are assigned to the processes, so that the results for a batch do not depend on the number of
    processes. All ranks get the same number of batches, as collective operations require. The last batch may be
    repeated; metrics count each row number once.

    Args:
        lengths: Number of source tokens of each example.
        groups: Group of each example; a group is drawn as a whole.
        batch_size: Most examples per batch.
        seed: Seed of the sample, and of the order of examples of the same length.
        rank: Rank of this process.
        world_size: Number of processes.
        limit: Number or share of the batches per process that the trainer uses (`trainer.limit_val_batches`).
        max_tokens: Most source tokens per batch, with padding, unless a single example has more.

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
        max_tokens: int | None = None,
    ) -> None:
        lengths, groups = np.asarray(lengths), np.asarray(groups)

        def cut(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
            order = rows[_by_length(lengths[rows], seed)[::-1]]
            return _cut(order, _starts(lengths[order], batch_size, max_tokens))[::-1]  # the longest first

        def sample(count: int) -> npt.NDArray[np.int64]:
            return stratified_sample(lengths, groups, count, seed)

        self.rows = np.arange(len(lengths))
        batches = cut(self.rows)
        self.num_batches = -(-len(batches) // world_size)
        most = num_batches(self.num_batches, limit) * world_size
        if most < len(batches):  # draw as many examples as fit
            counts = range(1, min(len(lengths), most * batch_size) + 1)
            self.rows = sample(bisect_right(counts, most, key=lambda count: len(cut(sample(count)))))
            batches = cut(self.rows)
        mean = lengths.mean()
        longer = sum(lengths[batch].mean() > mean for batch in batches)
        of_mean_length = longer / max(1, len(batches))  # start with a batch of average length
        batches = [batches[place] for place in golden_ratio_order(len(batches), of_mean_length)]
        last = len(batches) - 1
        self.batches = [batches[min(i + rank, last)] for i in range(0, len(batches), world_size)]

    def __len__(self) -> int:
        """Batches per process for all examples; the trainer applies its own limit."""
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() for batch in self.batches)


def num_batches(batches: int, limit: int | float) -> int:
    """How many of a loader's batches the trainer takes. `limit`: a number of them (int), or a share (float)."""
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def stratified_sample(
    lengths: npt.NDArray[np.int64], groups: npt.ArrayLike, count: int, seed: int
) -> npt.NDArray[np.int64]:
    """Draw a representative sample of at most `count` examples: all equally likely, of all lengths, in whole groups.

    A smaller sample is part of a larger one with the same seed. If the first group is larger than `count`, it is cut.

    Returns:
        Their row numbers, ascending.
    """
    _, first, group_of, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)  # number the groups by their first examples
    group_of, sizes = np.argsort(order)[group_of], sizes[order]
    longest = np.zeros(len(sizes))
    np.maximum.at(longest, group_of, lengths)
    drawn = _by_length(longest, seed)[golden_ratio_order(len(sizes), np.random.default_rng(seed).random())]
    whole = max(1, int(np.searchsorted(sizes[drawn].cumsum(), count, side="right")))
    return np.flatnonzero(np.isin(group_of, drawn[:whole]))[:count]


def golden_ratio_order(count: int, start: float) -> npt.NDArray[np.int64]:
    """A permutation of range(count), from `start * count`, whose first n numbers are evenly spread for every n.

    It consists of the ranks of a Kronecker sequence with the golden ratio.
    """
    return np.argsort(np.argsort((start + np.arange(count) * GOLDEN_RATIO) % 1))


def _by_length(lengths: npt.NDArray[Any], seed: int) -> npt.NDArray[np.int64]:
    """Sort the longest first, and shuffle equal lengths, because files are often sorted by label."""
    return np.lexsort((np.random.default_rng(seed).permutation(len(lengths)), -lengths))


def _starts(
    longest: npt.NDArray[Any], batch_size: int, max_tokens: int | None = None, world_size: int = 1
) -> list[int]:
    """Cut a sequence of examples, the shortest first, into the fewest batches.

    Args:
        longest: The number of tokens that a batch is padded to if it ends with this example, for each.
        batch_size: Most examples per batch and process.
        max_tokens: Most tokens per batch and process, with padding, unless a single example has more.
        world_size: Number of processes that share a batch.

    Returns:
        Where batches begin.
    """
    if max_tokens is None:
        return list(range(0, len(longest), world_size * batch_size))
    room = (max_tokens // longest).clip(1, batch_size)
    earliest = np.arange(1, len(longest) + 1) - world_size * room  # start of a batch that ends with this example
    starts, end = [], 0
    while end < len(longest):
        starts.append(end)
        end = int(np.searchsorted(earliest, end, side="right"))
    return starts


def _cut(order: npt.NDArray[np.int64], starts: list[int]) -> list[npt.NDArray[np.int64]]:
    return [order[start:end] for start, end in pairwise([*starts, len(order)])]
