"""How labelled official splits become train, validation and test (paper, section 5.1; reference's protocol)."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from datasets import Dataset

Role: TypeAlias = Literal["train", "validation", "test"]
Load: TypeAlias = Callable[[str], Dataset]  # official split name → its rows
Split: TypeAlias = Callable[[Role, Load, int], Dataset]  # role, load, seed → the role's rows


CARVED = 1000  # training rows that validate a large task


def carve(role: Role, load: Load, seed: int) -> Dataset:
    """For large tasks: the first 1,000 of the shuffled training rows validate, the official validation set tests."""
    if role == "test":
        return load("validation")
    rows = load("train")
    order = _shuffled(len(rows), seed)
    return rows.select(order[:CARVED] if role == "validation" else order[CARVED:])


def halve(role: Role, load: Load, seed: int) -> Dataset:
    """For small tasks: the official validation set, shuffled, is cut in two; its first half validates, the rest tests.

    The official test set has no labels. `torch.randperm` under `seed`, as in the reference, so its halves are ours.
    """
    if role == "train":
        return load("train")
    rows = load("validation")
    order = _shuffled(len(rows), seed)
    half = len(rows) // 2
    return rows.select(order[:half] if role == "validation" else order[half:])


def _shuffled(count: int, seed: int) -> list[int]:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
