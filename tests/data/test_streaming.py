"""A stream: all rows in each cycle, shuffled within buffers, and read on from any position."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from pytorch_lightning import Trainer

from lit_compacter.data.samplers import LengthGroupedBatchSampler
from lit_compacter.data.streaming import StreamLoader
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError
from tests.conftest import DEMO, TINY

ROWS, BUFFER, BATCH = 50, 20, 4
PER_CYCLE = 5 + 5 + 3  # batches of buffers of 20, 20 and 10 rows


def encode(rows: list[int], first_row: int) -> datasets.Dataset:
    columns: dict[str, list[Any]] = dict.fromkeys(("targets", "group", "split", "idx"), rows)
    columns |= {"row": list(range(first_row, first_row + len(rows))), "segments": [["x"] for _ in rows]}
    columns |= {"input_ids": [[row, 1] for row in rows], "labels": [[7, 1] for _ in rows], "length": [2 for _ in rows]}
    return datasets.Dataset.from_dict(columns)


def stream(rows: int = ROWS, seed: int = 0, rank: int = 0, world_size: int = 1, buffer: int = BUFFER) -> StreamLoader:
    def make_sampler(lengths: Any) -> LengthGroupedBatchSampler:
        return LengthGroupedBatchSampler(lengths, BATCH // world_size, seed, rank, world_size)

    def read() -> Iterator[int]:
        return iter(range(rows))

    return StreamLoader(read, encode, make_sampler, buffer, 3 * PER_CYCLE, pad_token_id=0)


def take(loader: StreamLoader, count: int) -> list[list[int]]:
    batches = iter(loader)
    taken = [next(batches)["row"] for _ in range(count)]
    batches.close()  # type: ignore[attr-defined]
    return taken


def test_each_cycle_has_all_rows_in_another_order() -> None:
    batches = take(stream(), 2 * PER_CYCLE)
    first, second = batches[:PER_CYCLE], batches[PER_CYCLE:]
    for cycle in (first, second):
        assert sorted(chain(*cycle)) == list(range(ROWS))
        assert sorted(chain(*cycle[:5])) == list(range(BUFFER)), "the first buffer"
    assert first != second and first == take(stream(), PER_CYCLE) != take(stream(seed=1), PER_CYCLE)


@pytest.mark.parametrize("position", range(1, 2 * PER_CYCLE + 1))
def test_a_stream_reads_on_from_any_position(position: int) -> None:
    stopped, resumed = stream(), stream()
    whole = take(stream(), 3 * PER_CYCLE)
    assert take(stopped, position) == whole[:position]
    resumed.load_state_dict(stopped.state_dict())
    assert take(resumed, 3 * PER_CYCLE - position) == whole[position:]


def test_processes_share_each_batch() -> None:
    shares = [take(stream(rank=rank, world_size=2), PER_CYCLE) for rank in range(2)]
    joined = [sorted({*one, *other}) for one, other in zip(*shares, strict=True)]
    assert joined == [sorted(batch) for batch in take(stream(), PER_CYCLE)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "seed_everything 0, this run has 1"),
        ({"buffer": 10}, "data.buffer_size 20, this run has 10"),
        ({"rows": 25}, "the rows of the stream from row 21 on have changed since the checkpoint"),
    ],
)
def test_another_stream_is_refused(changed: dict[str, int], message: str) -> None:
    stopped, resumed = stream(), stream(**changed)
    take(stopped, 7)
    resumed.load_state_dict(stopped.state_dict())
    with pytest.raises(UserError, match=message):
        take(resumed, 1)


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_run_cannot_go_on_with_the_other_kind_of_rows(is_stream: bool, tmp_path: Path) -> None:
    """Whether training rows are a stream decides their order."""
    stopped, resumed = (
        streamed(tmp_path, make_trainer(tmp_path, max_steps=9), streaming=streaming)
        for streaming in (is_stream, not is_stream)
    )
    stopped.setup("fit")
    loader = stopped.train_dataloader()
    next(iter(loader))
    resumed.resumed = loader.state_dict()
    resumed.setup("fit")
    with pytest.raises(UserError, match=f"written with data.streaming {str(is_stream).lower()}, which orders"):
        resumed.train_dataloader()


def make_trainer(folder: Path, **options: Any) -> Trainer:
    return Trainer(logger=False, accelerator="cpu", default_root_dir=folder, **options)


def streamed(tmp_path: Path, trainer: Trainer | None = None, **options: Any) -> GlueDataModule:
    given = {"task": "rte", "data_dir": str(DEMO), "model_name": str(TINY), "cache_dir": str(tmp_path)}
    data = GlueDataModule(**given | {"streaming": True, "batch_size": 16} | options)
    data.trainer = trainer
    return data


def test_the_rows_of_a_stream_are_those_of_the_data_set(tmp_path: Path) -> None:
    trainer = Trainer(
        max_steps=9, accumulate_grad_batches=2, logger=False, accelerator="cpu", default_root_dir=tmp_path
    )
    data = streamed(tmp_path, trainer, buffer_size=700)
    data.setup("fit")
    assert list(data.data) == ["validation"] and data.majority_target == ""
    loader = data.train_dataloader()
    assert len(loader) == 18
    seen: dict[int, str] = {}
    for batch, _ in zip(loader, range(3 * 44), strict=False):
        seen |= dict(zip(batch["row"], batch["source"], strict=True))
    whole = GlueDataModule(task="rte", data_dir=str(DEMO), model_name=str(TINY), cache_dir=str(tmp_path))
    whole.setup("fit")
    assert seen == {row["row"]: "".join(row["segments"]) for row in whole.data["train"].to_list()}


@pytest.mark.parametrize(
    ("task", "options", "trainer", "message"),
    [
        ("rte", {}, {}, "a stream has no known number of rows, so the run needs --trainer.max_steps"),
        ("rte", {}, {"max_steps": 5, "limit_train_batches": 3}, "give trainer.max_steps, not limit_train_batches"),
        ("rte", {}, {"max_steps": 5, "limit_train_batches": 1}, "give trainer.max_steps, not limit_train_batches"),
        ("rte", {"max_train_samples": 5}, {"max_steps": 5}, "data.max_train_samples draws from all rows"),
        ("rte", {"data_dir": "absent"}, {}, "no file .*absent/RTE/train.tsv"),
        ("sst2", {}, {"max_steps": 5}, "validation rows of sst2 are drawn from all .*; give --data.split official"),
    ],
)
def test_what_a_stream_cannot_do(
    task: str, options: dict[str, Any], trainer: dict[str, Any], message: str, tmp_path: Path
) -> None:
    data = streamed(tmp_path, make_trainer(tmp_path, **trainer), task=task, **options)

    def load() -> None:
        data.prepare_split("train")
        data.train_dataloader()

    with pytest.raises(UserError, match=message):
        load()


def test_lengths_are_grouped_within_a_buffer(tmp_path: Path) -> None:
    data = streamed(tmp_path, make_trainer(tmp_path, max_steps=5))
    batch = next(iter(data.train_dataloader()))
    lengths = batch["attention_mask"].sum(1)
    assert int(lengths.max() - lengths.min()) <= 2 and len(np.unique(batch["row"])) == 16
