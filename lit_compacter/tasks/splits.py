"""How official splits become train, validation and test (paper, section 5.1, and its code)."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from lit_compacter.data.rows import Rows
from lit_compacter.errors import UserError

SplitName: TypeAlias = Literal["train", "validation", "test"]
LoadSplit: TypeAlias = Callable[[str], Rows]  # official split name → its rows
Splitter: TypeAlias = Callable[[SplitName, LoadSplit, int], Rows]  # split, load, seed → the split's rows


HOLDOUT_SIZE = 1000  # training rows held out for the validation of a large task; at most a tenth of them


def holdout_from_train(split: SplitName, load: LoadSplit, seed: int) -> Rows:
    """For large tasks: validate on the first 1,000 shuffled training rows, test on the official validation set."""
    if split == "test":
        return load("validation")
    rows = load("train")
    rows = rows[shuffled(len(rows), seed)]
    size = min(HOLDOUT_SIZE, max(1, len(rows) // 10))
    return rows[:size] if split == "validation" else rows[size:]


def halve_validation(split: SplitName, load: LoadSplit, seed: int) -> Rows:
    """For small tasks: validate on the first half of the shuffled official validation set, test on the second half.

    The official test set has no labels. The rows are shuffled with `torch.randperm`, as in the paper's code, so the
    halves are the same. Rows of one group, such as the answers to one question, stay together and in order.
    """
    if split == "train":
        return load("train")
    rows = load("validation")
    _, first, group_of = np.unique(rows.groups, return_index=True, return_inverse=True)
    order = np.argsort(first)[shuffled(len(first), seed)]  # of the groups
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    places, half = place[group_of], len(order) // 2
    by_group = np.argsort(places, kind="stable")
    in_validation = places[by_group] < half
    return rows[by_group[in_validation if split == "validation" else ~in_validation]]


def official(split: SplitName, load: LoadSplit, seed: int) -> Rows:
    """The official splits."""
    return load(split)


def mnli_mismatched(split: SplitName, load: LoadSplit, seed: int) -> Rows:
    """For MNLI: validate on the mismatched validation set, test on the matched one."""
    return load({"train": "train", "validation": "validation_mismatched", "test": "validation_matched"}[split])


def mnli_matched(split: SplitName, load: LoadSplit, seed: int) -> Rows:
    """MNLI's official splits: the matched ones."""
    return load("train" if split == "train" else f"{split}_matched")


def only_test(split: SplitName, load: LoadSplit, seed: int) -> Rows:
    """For diagnostic sets."""
    if split != "test":
        raise UserError(
            f"a diagnostic set has no {split} rows: evaluate a model that was trained on another task, "
            "with test or predict and --ckpt_path"
        )
    return load("test")


def shuffled(count: int, seed: int) -> npt.NDArray[np.int64]:
    """The numbers below `count` in random order; the same seed gives the same order."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
