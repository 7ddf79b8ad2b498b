"""From tokenized rows to a padded batch."""

from collections.abc import Mapping
from typing import Any, TypedDict

import torch
from torch import Tensor

IGNORE_INDEX = -100  # label that the loss ignores


class Batch(TypedDict):
    """B examples; S and T are the longest source and target of the batch, in tokens."""

    input_ids: Tensor  # (B, S)
    attention_mask: Tensor  # (B, S)
    labels: Tensor  # (B, T), IGNORE_INDEX where padded
    source: list[str]
    targets: list[list[str]]  # every right answer, none if unknown
    group: list[int]
    split: list[str]
    idx: list[Any]
    row: list[int]


def collate(rows: Mapping[str, list[Any]], pad_token_id: int) -> Batch:
    """Pad the columns of tokenized rows."""
    inputs = [torch.tensor(ids) for ids in rows["input_ids"]]
    labels = [torch.tensor(ids) for ids in rows["labels"]]
    return {
        "input_ids": _pad(inputs, pad_token_id),
        "attention_mask": _pad([torch.ones_like(ids) for ids in inputs], 0),
        "labels": _pad(labels, IGNORE_INDEX),
        "source": ["".join(segments) for segments in rows["segments"]],
        "targets": rows["targets"],
        "group": rows["group"],
        "split": rows["split"],
        "idx": rows["idx"],
        "row": rows["row"],
    }


def _pad(tensors: list[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
