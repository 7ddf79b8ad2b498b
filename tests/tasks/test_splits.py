"""The paper's protocol, and the benchmarks' own."""

import itertools
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from lit_compacter.data.rows import Rows
from lit_compacter.errors import UserError
from lit_compacter.tasks.splits import (
    Splitter,
    halve_validation,
    holdout_from_train,
    mnli_matched,
    mnli_mismatched,
    official,
    only_test,
    shuffled,
)

ORDER = torch.randperm(7, generator=torch.Generator().manual_seed(42)).tolist()


def make(ids: Sequence[object], groups: Sequence[int | None] = ()) -> Rows:
    columns: dict[str, list[Any]] = {"idx": list(ids), "group": list(groups or [None for _ in ids])}
    table = datasets.Dataset.from_dict(columns)
    return Rows(table, "key", np.arange(len(ids)))


def load(split: str) -> Rows:
    return make([f"{split}{i}" for i in range(7)])


def chosen(rows: Rows, column: str = "idx") -> list[str]:
    return list(rows.table.select(rows.numbers)[column])


def ids(splitter: Splitter, split: str, seed: int = 42) -> list[str]:
    return chosen(splitter(split, load, seed))  # type: ignore[arg-type]


def test_halves_are_the_references() -> None:
    names = [f"validation{i}" for i in ORDER]
    assert ids(halve_validation, "validation") == names[:3]
    assert ids(halve_validation, "test") == names[3:]
    assert ids(halve_validation, "train") == [f"train{i}" for i in range(7)]


def test_groups_are_halved_whole() -> None:
    rows = make(range(12), [7, 7, 7, 3, 3, 3, 5, 5, 5, 0, 0, 0])
    halves = [halve_validation(split, lambda _: rows, 0) for split in ("validation", "test")]  # type: ignore[arg-type]
    groups = [chosen(half, "group") for half in halves]
    assert all(len(half) == 6 and len(set(half)) == 2 for half in groups) and not set(groups[0]) & set(groups[1])
    for half in halves:
        pairs = itertools.pairwise(zip(half.numbers, half.groups, strict=True))
        assert all(a[0] + 1 == b[0] for a, b in pairs if a[1] == b[1])


def test_large_tasks_validate_on_training_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_compacter.tasks.splits.HOLDOUT_SIZE", 3)
    assert ids(holdout_from_train, "validation") == [f"train{ORDER[0]}"]  # no more than a tenth, but one
    assert ids(holdout_from_train, "train") == [f"train{i}" for i in ORDER[1:]]
    assert ids(holdout_from_train, "test") == [f"validation{i}" for i in range(7)]
    many = make(range(50))
    assert [len(holdout_from_train(split, lambda _: many, 0)) for split in ("train", "validation")] == [47, 3]  # type: ignore[arg-type]


def test_the_seed_decides() -> None:
    assert ids(halve_validation, "test", 1) != ids(halve_validation, "test", 2)


@pytest.mark.parametrize(
    ("splitter", "first"),
    [
        (official, ("train0", "validation0", "test0")),
        (mnli_mismatched, ("train0", "validation_mismatched0", "validation_matched0")),
        (mnli_matched, ("train0", "validation_matched0", "test_matched0")),
    ],
)
def test_official_sets(splitter: Splitter, first: tuple[str, ...]) -> None:
    assert tuple(ids(splitter, split)[0] for split in ("train", "validation", "test")) == first


def test_diagnostics_only_test() -> None:
    assert ids(only_test, "test")[0] == "test0"
    with pytest.raises(UserError, match="a diagnostic set has no train rows: evaluate a model that was trained on ano"):
        ids(only_test, "train")


def test_shuffling_keeps_every_item() -> None:
    assert sorted(shuffled(100, 1)) == list(range(100)) and shuffled(100, 1).tolist() == shuffled(100, 1).tolist()
