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


def numbers(batches: Iterable[Iterable[int]]) -> list[int]:
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
    whole = list(evaluation(32))
    dealt = [list(evaluation(32, rank, 4)) for rank in range(4)]
    assert {len(batches) for batches in dealt} == {9}
    in_turn = [batch for step in zip(*dealt, strict=True) for batch in step]
    assert in_turn == whole + whole[-1:] * 3


def test_little_padding() -> None:
    assert padding(LengthGroupedBatchSampler(LENGTHS, 32, seed=0)) < 1.04
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
    assert list(evaluation(32, limit=4)) == list(evaluation(32, limit=4))
    assert set(evaluation(32, limit=2).rows) < set(evaluation(32, limit=4).rows)
    assert set(evaluation(32, limit=4, seed=1).rows) != set(evaluation(32, limit=4).rows)
    dealt = [list(evaluation(32, rank, 2, limit=2)) for rank in (0, 1)]
    assert [batch for step in zip(*dealt, strict=True) for batch in step] == list(evaluation(32, limit=4))
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
    rows = from_files(task, "train", shared("data", "glue")).rows
    lengths = np.array([min(len(task.source(row)), 640) for row in rows])
    shuffled = np.random.default_rng(0).permutation(len(lengths))
    assert padding([shuffled[i : i + 32] for i in range(0, len(shuffled), 32)], lengths) > 1.5
    assert padding(LengthGroupedBatchSampler(lengths, 32, seed=0), lengths) < 1.04


BUDGETS = [1, 150, 700, 5000, 10**6]  # tokens per batch and process, from less than one example to more than all


def texts(seed: int) -> Any:
    """Few or many lengths, in any order, some of them at the limit of 128 tokens."""
    rng = np.random.default_rng(seed)
    return np.minimum(rng.lognormal(rng.uniform(2, 5), rng.uniform(0, 0.8), rng.integers(1, 400)).astype(int) + 1, 128)


def within(batch: list[int], lengths: Any, budget: int, batch_size: int) -> bool:
    return len(batch) <= batch_size and (len(batch) <= 1 or len(batch) * lengths[batch].max() <= budget)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_training_batches_within_a_budget_of_tokens(budget: int, world_size: int) -> None:
    """On every process and in every epoch: within it, each example once, equally many batches."""
    for seed in range(10):
        lengths, batch_size = texts(seed), (7, 100, 1000)[seed % 3]
        ranks = [
            LengthGroupedBatchSampler(lengths, batch_size, seed, rank, world_size, budget) for rank in range(world_size)
        ]
        for epoch in range(4):
            for sampler in ranks:
                sampler.set_epoch(epoch)
            steps = list(zip(*ranks, strict=True))
            assert len(steps) == len(ranks[0]) and all(shares[0] for shares in steps)
            assert numbers(share for shares in steps for share in shares) == list(range(len(lengths)))
            assert all(within(share, lengths, budget, batch_size) for shares in steps for share in shares)
            sizes = [[len(share) for share in shares] for shares in steps]
            assert all(max(shares) - min(shares) <= 1 for shares in sizes)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_batches_within_a_budget_of_tokens(budget: int, world_size: int) -> None:
    for seed in range(10):
        lengths, batch_size = texts(seed), (7, 100, 1000)[seed % 3]
        for limit in (1.0, 0.5, 3, 0):
            dealt = [
                EvaluationBatchSampler(lengths, range(len(lengths)), batch_size, 0, rank, world_size, limit, budget)
                for rank in range(world_size)
            ]
            assert {len(list(batches)) for batches in dealt} == {num_batches(len(dealt[0]), limit)}
            seen = sorted({i for batches in dealt for batch in batches for i in batch})
            assert seen == dealt[0].rows.tolist() and (limit != 1.0 or len(seen) == len(lengths))
            assert all(within(batch, lengths, budget, batch_size) for batches in dealt for batch in batches)


def test_a_budget_of_tokens_is_used() -> None:
    """Nearly all of it, where an example is a small part; and batches differ from epoch to epoch."""
    lengths = skewed(0)
    grouped = LengthGroupedBatchSampler(lengths, 1000, 0, max_tokens=4000)
    first = list(grouped)
    assert lengths.sum() / 4000 / len(first) > 0.85 and padding(first, lengths) < 1.12
    grouped.set_epoch(1)
    assert sorted(map(sorted, grouped)) != sorted(map(sorted, first))
    whole = EvaluationBatchSampler(lengths, ALONE, 1000, 0, max_tokens=4000)
    assert lengths.sum() / 4000 / len(whole) > 0.85
    for batch, following in itertools.pairwise(sorted(whole, key=lambda batch: lengths[batch].max())):
        longer = lengths[following].min()
        assert lengths[batch].max() <= longer and (len(batch) + 1) * longer > 4000, "one more would not fit"


def test_a_limited_evaluation_within_a_budget_of_tokens_is_like_the_whole() -> None:
    """It draws as many rows as fill the batches of the limit, and smaller samples are part of larger ones."""
    for seed in range(5):
        lengths, samples = skewed(seed), []
        for limit in (3, 7, 15):
            batches = EvaluationBatchSampler(lengths, ALONE, 1000, seed, limit=limit, max_tokens=2000)
            assert len(list(batches)) == limit and lengths[batches.rows].sum() > 2000 * (limit - 1) * 0.8
            assert abs(lengths[batches.rows].mean() / lengths.mean() - 1) < 0.15
            samples.append(set(batches.rows))
        assert samples[0] < samples[1] < samples[2]
        whole = EvaluationBatchSampler(lengths, ALONE, 1000, seed, max_tokens=2000).batches
        for count in range(10, len(whole)):
            assert abs(lengths[numbers(whole[:count])].mean() / lengths.mean() - 1) < 0.2
