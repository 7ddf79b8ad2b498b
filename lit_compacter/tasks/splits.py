"""How official splits become train, validation and test (paper, section 5.1, and its code)."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, TypeVar

import torch

from lit_compacter.data.sources import Row
from lit_compacter.errors import UserError

T = TypeVar("T")
SplitName: TypeAlias = Literal["train", "validation", "test"]
LoadSplit: TypeAlias = Callable[[str], list[Row]]  # official split name → its rows
Splitter: TypeAlias = Callable[[SplitName, LoadSplit, int], list[Row]]  # split, load, seed → the split's rows


HOLDOUT_SIZE = 1000  # training rows held out for the validation of a large task; at most a tenth of them


def holdout_from_train(split: SplitName, load: LoadSplit, seed: int) -> list[Row]:
    """For large tasks: validate on the first 1,000 shuffled training rows, test on the official validation set."""
    if split == "test":
        return load("validation")
    rows = shuffled(load("train"), seed)
    size = min(HOLDOUT_SIZE, max(1, len(rows) // 10))
    return rows[:size] if split == "validation" else rows[size:]


def halve_validation(split: SplitName, load: LoadSplit, seed: int) -> list[Row]:
    """For small tasks: validate on the first half of the shuffled official validation set, test on the second half.

    The official test set has no labels. The rows are shuffled with `torch.randperm`, as in the paper's code, so the
    halves are the same. Rows of one group, such as the answers to one question, stay together and in order.
    """
    if split == "train":
        return load("train")
    groups: dict[object, list[Row]] = {}
    for number, row in enumerate(load("validation")):
        groups.setdefault(number if row.group is None else row.group, []).append(row)
    order = shuffled(list(groups.values()), seed)
    half = len(order) // 2
    return [row for group in (order[:half] if split == "validation" else order[half:]) for row in group]


def official(split: SplitName, load: LoadSplit, seed: int) -> list[Row]:
    """The official splits."""
    return load(split)


def mnli_mismatched(split: SplitName, load: LoadSplit, seed: int) -> list[Row]:
    """For MNLI: validate on the mismatched validation set, test on the matched one."""
    return load({"train": "train", "validation": "validation_mismatched", "test": "validation_matched"}[split])


def mnli_matched(split: SplitName, load: LoadSplit, seed: int) -> list[Row]:
    """MNLI's official splits: the matched ones."""
    return load("train" if split == "train" else f"{split}_matched")


def only_test(split: SplitName, load: LoadSplit, seed: int) -> list[Row]:
    """For diagnostic sets."""
    if split != "test":
        raise UserError(
            f"a diagnostic set has no {split} rows: evaluate a model that was trained on another task, "
            "with test or predict and --ckpt_path"
        )
    return load("test")


def shuffled(items: Sequence[T], seed: int) -> list[T]:
    """Shuffle the items; the same seed gives the same order."""
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed)).tolist()
    return [items[i] for i in order]
