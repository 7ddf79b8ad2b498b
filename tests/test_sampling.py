"""Batches: every example once, little padding, and an order that only (seed, epoch) decide."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from lit_compacter.sampling import LengthGroupedBatches, LongestFirstBatches
from lit_compacter.sources import from_files
from lit_compacter.tasks import TASKS
from tests.conftest import shared

LENGTHS = np.random.default_rng(0).integers(5, 128, 1037)


def padding(batches: Iterable[Any], lengths: Any = LENGTHS) -> float:
    """Tokens with padding over tokens without."""
    return sum(len(batch) * lengths[batch].max() for batch in batches) / lengths.sum()


def test_every_example_once() -> None:
    grouped = LengthGroupedBatches(LENGTHS, 32, seed=0)
    assert sorted(i for batch in grouped for i in batch) == list(range(len(LENGTHS)))
    assert len(list(grouped)) == len(grouped) == 33
    assert sorted(i for batch in LongestFirstBatches(LENGTHS, 32) for i in batch) == list(range(len(LENGTHS)))


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        batches = LengthGroupedBatches(LENGTHS, 32, seed)
        batches.set_epoch(epoch)
        return list(batches)

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4) != order(2, 4)
    assert sorted(map(sorted, order(1, 3))) != sorted(map(sorted, order(1, 4))), "batches are made up anew, too"


def test_processes_share_each_batch() -> None:
    """Together two processes see what one with twice the batch size sees, step by step."""
    whole = list(LengthGroupedBatches(LENGTHS, 32, seed=0))
    halves = [list(LengthGroupedBatches(LENGTHS, 16, seed=0, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*halves, strict=True)] == [sorted(batch) for batch in whole]


def test_evaluation_batches_are_dealt_whole() -> None:
    """Each process has equally many, and a batch is the same whoever gets it."""
    whole = LongestFirstBatches(LENGTHS, 32).batches
    dealt = [LongestFirstBatches(LENGTHS, 32, rank, 4).batches for rank in range(4)]
    assert {len(batches) for batches in dealt} == {9}
    in_turn = [batch for step in zip(*dealt, strict=True) for batch in step]
    assert in_turn == whole + whole[-1:] * 3


def test_little_padding() -> None:
    assert padding(LengthGroupedBatches(LENGTHS, 32, seed=0)) < 1.08
    assert padding(LongestFirstBatches(LENGTHS, 32)) < 1.04


def test_longest_first() -> None:
    first = [LENGTHS[batch].max() for batch in LongestFirstBatches(LENGTHS, 32)]
    assert first == sorted(first, reverse=True)


def test_little_padding_on_rte() -> None:
    """Characters stand for tokens: the spread of lengths is what matters."""
    task = TASKS["rte"]
    rows = from_files(task, "train", shared("data", "glue"))
    lengths = np.array([min(len(task.source(row)), 640) for row in rows])
    shuffled = np.random.default_rng(0).permutation(len(lengths))
    assert padding([shuffled[i : i + 32] for i in range(0, len(shuffled), 32)], lengths) > 1.5
    assert padding(LengthGroupedBatches(lengths, 32, seed=0), lengths) < 1.06
