"""Training batches: where they go on, and what a process does that has no share."""

import itertools
from typing import Any

import datasets
import pytest
import torch

from lit_compacter.data.collate import IGNORE_INDEX
from lit_compacter.data.loaders import LoaderState, ResumableLoader
from lit_compacter.data.samplers import LengthGroupedBatchSampler
from lit_compacter.errors import UserError

ROWS = 29


def batches(
    batch_size: int = 4,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    rows: int = ROWS,
    max_tokens: int | None = None,
    **changed: list[Any],
) -> ResumableLoader:
    columns: dict[str, list[Any]] = {name: list(range(rows)) for name in ("targets", "group", "split", "idx", "row")}
    columns |= {"input_ids": [[i, 1] for i in range(rows)], "labels": [[7, 1]] * rows, "segments": [["x"]] * rows}
    columns |= changed
    sampler = LengthGroupedBatchSampler([2] * rows, batch_size, seed, rank, world_size, max_tokens)
    return ResumableLoader(datasets.Dataset.from_dict(columns), sampler, pad_token_id=0)


STATE: LoaderState = {**batches().state_dict(), "epoch": 0, "num_yielded": 2}


def test_batches_for_a_gpu_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Page-locked memory needs a GPU's driver, so here only the copies are counted."""
    pinned: list[torch.Tensor] = []

    def pin_memory(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    assert rows(batches()) and not pinned
    loader = batches()
    loader.pin_memory = True
    for batch, plain in zip(loader, batches(), strict=True):
        for name in ("input_ids", "attention_mask", "labels"):
            tensor = batch[name]  # type: ignore[literal-required]
            assert any(tensor is copy for copy in pinned) and tensor.equal(plain[name])  # type: ignore[literal-required]
        assert batch["row"] == plain["row"]


def rows(of: ResumableLoader) -> list[list[int]]:
    return [batch["row"] for batch in of]


@pytest.mark.parametrize("options", [{}, {"batch_size": 100, "max_tokens": 9}])
def test_they_go_on_where_they_were(options: dict[str, Any]) -> None:
    whole = batches(**options)
    whole.sampler.set_epoch(3)
    stopped = batches(**options)
    stopped.sampler.set_epoch(3)
    given = iter(stopped)
    first = [next(given)["row"] for _ in range(3)]
    resumed = batches(**options)
    resumed.load_state_dict(stopped.state_dict())
    iterator = iter(resumed)  # Lightning does this before it sets the epoch
    resumed.sampler.set_epoch(3)
    assert first + [batch["row"] for batch in iterator] == rows(whole)
    resumed.sampler.set_epoch(4)
    assert len(rows(resumed)) == 8, "the next epoch is whole"


BUDGETS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"max_tokens": 8}, {"max_tokens": 6}, "8 × 1, this run has 6 × 1"),
    ({"max_tokens": 8}, {}, "8 × 1, this run has null"),
    ({}, {"max_tokens": 8}, "null, this run has 8 × 1"),
    ({"max_tokens": 8}, {"max_tokens": 4, "world_size": 2, "batch_size": 2}, "8 × 1, this run has 4 × 2"),
]


@pytest.mark.parametrize(("then", "now", "message"), BUDGETS)
def test_another_budget_of_tokens_in_the_middle_of_an_epoch(
    then: dict[str, Any], now: dict[str, Any], message: str
) -> None:
    stopped, resumed = batches(**then), batches(**now)
    next(iter(stopped))
    resumed.load_state_dict(stopped.state_dict())
    with pytest.raises(UserError, match=f"with data.max_tokens_per_batch × processes {message}; keep it"):
        rows(resumed)
    resumed.load_state_dict(stopped.state_dict())
    resumed.sampler.set_epoch(1)
    assert len(rows(resumed)) == len(resumed), "the next epoch may have another"


def test_a_checkpoint_of_an_epochs_end_begins_the_next() -> None:
    """Also where the epoch was cut short, so that the position is not at the end."""
    resumed = batches()
    resumed.load_state_dict(STATE)
    resumed.sampler.set_epoch(1)
    assert len(rows(resumed)) == 8


@pytest.mark.parametrize(("option", "value"), [("batch_size", 5), ("seed", 1)])
def test_another_order_in_the_middle_of_an_epoch(option: str, value: Any) -> None:
    resumed = batches(**{option: value})
    resumed.load_state_dict(STATE)
    with pytest.raises(UserError, match=rf"{option}.* {dict(STATE)[option]}, this run has {value}; keep it"):
        rows(resumed)


OTHER_ROWS: list[dict[str, Any]] = [
    {"rows": 60},
    {"rows": 4},  # fewer than were given
    {"input_ids": [[i + (i == 20), 1] for i in range(ROWS)]},
    {"input_ids": [[i, 1] for i in reversed(range(ROWS))]},
    {"input_ids": [[0], [1, 0, 1], *([i, 1] for i in range(2, ROWS))]},  # the same numbers, otherwise divided
    {"labels": [[8, 1], *[[7, 1]] * (ROWS - 1)]},
]


@pytest.mark.parametrize("changed", OTHER_ROWS)
def test_other_rows(changed: dict[str, Any]) -> None:
    """Refused in the middle of an epoch, said at the beginning of one."""
    stopped = batches()
    given = iter(stopped)
    for _ in range(5):
        next(given)
    resumed = batches(**changed)
    resumed.load_state_dict(stopped.state_dict())
    count = changed.get("rows", ROWS)
    with pytest.raises(UserError, match=rf"rows have changed .* \(29 rows then, {count} now\), which is from the midd"):
        rows(resumed)
    resumed.load_state_dict(stopped.state_dict())
    resumed.sampler.set_epoch(1)
    with pytest.warns(UserWarning, match=rf"changed since the checkpoint \(29 rows then, {count} now\); training cont"):
        assert sorted(itertools.chain(*rows(resumed))) == list(range(count))


def test_other_processes_in_the_middle_of_an_epoch() -> None:
    resumed = batches(batch_size=2, world_size=2)
    resumed.load_state_dict(STATE)
    assert len(rows(resumed)) == 6


def test_a_process_without_a_share_counts_for_nothing() -> None:
    """29 rows in batches of 4 leave a batch of one."""
    labels = [batch["labels"] for batch in batches(batch_size=2, rank=1, world_size=2)]
    empty = [bool((label == IGNORE_INDEX).all()) for label in labels]
    assert sum(empty) == 1
    assert torch.cat(labels).shape == (7 * 2 + 1, 2)
