"""The paper's protocol, and the benchmarks' own."""

import itertools

import pytest
import torch

from lit_compacter.data.sources import Row
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


def load(split: str) -> list[Row]:
    return [Row({}, None, f"{split}{i}") for i in range(7)]


def ids(splitter: Splitter, split: str, seed: int = 42) -> list[str]:
    return [row.idx for row in splitter(split, load, seed)]  # type: ignore[arg-type]


def test_halves_are_the_references() -> None:
    names = [f"validation{i}" for i in ORDER]
    assert ids(halve_validation, "validation") == names[:3]
    assert ids(halve_validation, "test") == names[3:]
    assert ids(halve_validation, "train") == [f"train{i}" for i in range(7)]


def test_groups_are_halved_whole() -> None:
    rows = [Row({}, None, i, group="abcd"[i // 3]) for i in range(12)]
    halves = [halve_validation(split, lambda _: rows, 0) for split in ("validation", "test")]  # type: ignore[arg-type]
    groups = [[row.group for row in half] for half in halves]
    assert all(len(half) == 6 and len(set(half)) == 2 for half in groups) and not set(groups[0]) & set(groups[1])
    for half in halves:
        assert all(a.idx + 1 == b.idx for a, b in itertools.pairwise(half) if a.group == b.group)


def test_large_tasks_validate_on_training_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_compacter.tasks.splits.HOLDOUT_SIZE", 3)
    assert ids(holdout_from_train, "validation") == [f"train{ORDER[0]}"]  # no more than a tenth, but one
    assert ids(holdout_from_train, "train") == [f"train{i}" for i in ORDER[1:]]
    assert ids(holdout_from_train, "test") == [f"validation{i}" for i in range(7)]
    many: list[Row] = [Row({}, None, i) for i in range(50)]
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
    assert sorted(shuffled(range(100), 1)) == list(range(100)) and shuffled(range(100), 1) == shuffled(range(100), 1)
