"""The paper's protocol for small tasks."""

import pytest
import torch
from datasets import Dataset

from lit_compacter.splits import carve, halve


def load(split: str) -> Dataset:
    return Dataset.from_dict({"id": [f"{split}{i}" for i in range(7)]})


def test_halves_are_the_references() -> None:
    order = torch.randperm(7, generator=torch.Generator().manual_seed(42)).tolist()
    names = [f"validation{i}" for i in order]
    assert halve("validation", load, 42)["id"] == names[:3]
    assert halve("test", load, 42)["id"] == names[3:]
    assert halve("train", load, 42)["id"] == [f"train{i}" for i in range(7)]


def test_large_tasks_validate_on_training_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_compacter.splits.CARVED", 3)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(42)).tolist()
    names = [f"train{i}" for i in order]
    assert carve("validation", load, 42)["id"] == names[:3]
    assert carve("train", load, 42)["id"] == names[3:]
    assert carve("test", load, 42)["id"] == [f"validation{i}" for i in range(7)]


def test_the_seed_decides() -> None:
    assert halve("test", load, 1)["id"] != halve("test", load, 2)["id"]
