"""Training batches: where they go on, and what a process does that has no share."""

import datasets
import pytest
import torch

from lit_compacter.batches import IGNORE, TrainingBatches
from lit_compacter.errors import UserError
from lit_compacter.sampling import LengthGroupedBatches

ROWS = 29
STATE = {"epoch": 0, "given": 2, "batch_size": 4, "seed": 0}


def batches(batch_size: int = 4, seed: int = 0, rank: int = 0, world_size: int = 1) -> TrainingBatches:
    columns = {"input_ids": [[i, 1] for i in range(ROWS)], "labels": [[7, 1]] * ROWS, "pieces": [["x"]] * ROWS}
    columns |= {name: list(range(ROWS)) for name in ("targets", "group", "split", "idx", "row")}
    sampler = LengthGroupedBatches([2] * ROWS, batch_size, seed, rank, world_size)
    return TrainingBatches(datasets.Dataset.from_dict(columns), sampler, pad_token_id=0)


def rows(of: TrainingBatches) -> list[list[int]]:
    return [batch["row"] for batch in of]


def test_they_go_on_where_they_were() -> None:
    whole = batches()
    whole.sampler.set_epoch(3)
    stopped = batches()
    stopped.sampler.set_epoch(3)
    given = iter(stopped)
    first = [next(given)["row"] for _ in range(3)]
    resumed = batches()
    resumed.load_state_dict(stopped.state_dict())
    iterator = iter(resumed)  # Lightning does this before it sets the epoch
    resumed.sampler.set_epoch(3)
    assert first + [batch["row"] for batch in iterator] == rows(whole)
    resumed.sampler.set_epoch(4)
    assert len(rows(resumed)) == 8, "the next epoch is whole"


def test_a_checkpoint_of_an_epochs_end_begins_the_next() -> None:
    """Also where the epoch was cut short, so that the position is not at the end."""
    resumed = batches()
    resumed.load_state_dict(STATE)
    resumed.sampler.set_epoch(1)
    assert len(rows(resumed)) == 8


@pytest.mark.parametrize(("option", "value"), [("batch_size", 5), ("seed", 1)])
def test_another_order_in_the_middle_of_an_epoch(option: str, value: int) -> None:
    resumed = batches(**{option: value})
    resumed.load_state_dict(STATE)
    with pytest.raises(UserError, match=rf"{option}.* {STATE[option]}, this run has {value}; keep it"):
        rows(resumed)


def test_other_processes_in_the_middle_of_an_epoch() -> None:
    resumed = batches(batch_size=2, world_size=2)
    resumed.load_state_dict(STATE)
    assert len(rows(resumed)) == 6


def test_a_process_without_a_share_counts_for_nothing() -> None:
    """29 rows in batches of 4 leave a batch of one."""
    labels = [batch["labels"] for batch in batches(batch_size=2, rank=1, world_size=2)]
    empty = [bool((label == IGNORE).all()) for label in labels]
    assert sum(empty) == 1
    assert torch.cat(labels).shape == (7 * 2 + 1, 2)
