"""Batches: every example once, little padding, and an order that only (seed, epoch) decide."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from lit_compacter.data.samplers import EvaluationBatchSampler, LengthGroupedBatchSampler, num_batches
from lit_compacter.data.sources import from_files
from lit_compacter.tasks import TASKS
from tests.conftest import shared

LENGTHS = np.random.default_rng(0).integers(5, 128, 1037)
ALONE = range(1037)  # every example is a group of its own


def evaluation(
    batch_size: int, rank: int = 0, world_size: int = 1, limit: int | float = 1.0, seed: int = 0
) -> EvaluationBatchSampler:
    return EvaluationBatchSampler(LENGTHS, ALONE, batch_size, seed, rank, world_size, limit)


def numbers(batches: Iterable[list[int]]) -> list[int]:
    return sorted(i for batch in batches for i in batch)


def padding(batches: Iterable[Any], lengths: Any = LENGTHS) -> float:
    """Tokens with padding over tokens without."""
    return sum(len(batch) * lengths[batch].max() for batch in batches) / lengths.sum()


def test_every_example_once() -> None:
    grouped = LengthGroupedBatchSampler(LENGTHS, 32, seed=0)
    assert numbers(grouped) == list(range(len(LENGTHS)))
    assert len(list(grouped)) == len(grouped) == 33
    assert numbers(evaluation(32)) == list(range(len(LENGTHS))) and len(list(evaluation(32))) == 33


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        batches = LengthGroupedBatchSampler(LENGTHS, 32, seed)
        batches.set_epoch(epoch)
        return list(batches)

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4) != order(2, 4)
    assert sorted(map(sorted, order(1, 3))) != sorted(map(sorted, order(1, 4))), "batches are made up anew, too"


def test_processes_share_each_batch() -> None:
    """Together two processes see what one with twice the batch size sees, step by step."""
    whole = list(LengthGroupedBatchSampler(LENGTHS, 32, seed=0))
    halves = [list(LengthGroupedBatchSampler(LENGTHS, 16, seed=0, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*halves, strict=True)] == [sorted(batch) for batch in whole]


def test_evaluation_batches_are_dealt_whole() -> None:
    """Each process has equally many, and a batch is the same whoever gets it."""
    whole = evaluation(32).batches
    dealt = [evaluation(32, rank, 4).batches for rank in range(4)]
    assert {len(batches) for batches in dealt} == {9}
    in_turn = [batch for step in zip(*dealt, strict=True) for batch in step]
    assert in_turn == whole + whole[-1:] * 3


def test_little_padding() -> None:
    assert padding(LengthGroupedBatchSampler(LENGTHS, 32, seed=0)) < 1.08
    assert padding(evaluation(32)) < 1.04


def skewed(seed: int) -> Any:
    """Lengths as those of texts are, in a file that is sorted by them."""
    return np.sort(np.random.default_rng(seed).lognormal(4, 0.6, 1037).astype(int) + 1)


def test_a_limited_evaluation_is_like_the_whole() -> None:
    """Whatever the limit, with lengths that are skewed and labels that depend on them."""
    for limit in (1, 2, 3, 7, 0.1, 0.5):
        for seed in range(5):
            lengths = skewed(seed)
            batches = EvaluationBatchSampler(lengths, ALONE, 32, seed, limit=limit)
            rows = numbers(batches)
            assert rows == batches.rows.tolist() and len(rows) == 32 * num_batches(33, limit) == 32 * len(list(batches))
            assert len(batches) == 33, "the limit is a share of this"
            assert abs(lengths[rows].mean() / lengths.mean() - 1) < 0.15
            long = lengths > np.median(lengths)
            assert abs(long[rows].mean() - long.mean()) < 0.1


def test_every_example_is_as_likely() -> None:
    """Also the longest, and of equally long ones the first of the file."""
    for lengths in (skewed(0)[::20], np.full(52, 7)):
        drawn = [EvaluationBatchSampler(lengths, range(52), 13, seed, limit=1).rows for seed in range(800)]
        assert np.bincount(np.concatenate(drawn)) == pytest.approx(200, abs=75)  # six deviations


def test_a_limited_evaluation_is_the_same_for_all_who_take_it() -> None:
    assert evaluation(32, limit=4).batches == evaluation(32, limit=4).batches
    assert set(evaluation(32, limit=2).rows) < set(evaluation(32, limit=4).rows)
    assert set(evaluation(32, limit=4, seed=1).rows) != set(evaluation(32, limit=4).rows)
    dealt = [evaluation(32, rank, 2, limit=2).batches for rank in (0, 1)]
    assert [batch for step in zip(*dealt, strict=True) for batch in step] == evaluation(32, limit=4).batches
    assert len(evaluation(32, limit=33).rows) == len(evaluation(32, limit=99).rows) == len(LENGTHS)
    assert not evaluation(32, limit=0).batches


def test_groups_are_drawn_whole() -> None:
    groups = np.sort(np.random.default_rng(0).integers(0, 200, len(LENGTHS)))
    batches = EvaluationBatchSampler(LENGTHS, groups, 16, seed=0, limit=5)
    kept = np.unique(groups[batches.rows])
    assert batches.rows.tolist() == np.flatnonzero(np.isin(groups, kept)).tolist() == numbers(batches)
    assert 60 < len(batches.rows) <= 80 and len(batches.batches) == 5
    assert len(EvaluationBatchSampler(LENGTHS, [0] * len(LENGTHS), 16, seed=0, limit=1).rows) == 16, (
        "else there were none"
    )


def test_the_first_batches_are_like_the_whole() -> None:
    """For whoever stops in the middle."""
    lengths = skewed(0)
    batches = EvaluationBatchSampler(lengths, ALONE, 8, seed=0).batches
    for count in (1, 3, *range(5, len(batches))):
        assert abs(lengths[numbers(batches[:count])].mean() / lengths.mean() - 1) < 0.2


def test_a_limited_epoch_of_training_is_like_the_whole() -> None:
    lengths = skewed(0)
    grouped = LengthGroupedBatchSampler(lengths, 32, seed=0)
    seen = []
    for epoch in range(400):
        grouped.set_epoch(epoch)
        seen += [i for batch in itertools.islice(grouped, 3) for i in batch]
    assert abs(lengths[seen].mean() / lengths.mean() - 1) < 0.05 and len(set(seen)) == len(lengths)


def test_little_padding_on_rte() -> None:
    """Characters stand for tokens: the distribution of lengths is what matters."""
    task = TASKS["rte"]
    rows = from_files(task, "train", shared("data", "glue"))
    lengths = np.array([min(len(task.source(row)), 640) for row in rows])
    shuffled = np.random.default_rng(0).permutation(len(lengths))
    assert padding([shuffled[i : i + 32] for i in range(0, len(shuffled), 32)], lengths) > 1.5
    assert padding(LengthGroupedBatchSampler(lengths, 32, seed=0), lengths) < 1.06
