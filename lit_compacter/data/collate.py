"""From tokenized rows to a padded batch."""

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

IGNORE_INDEX = -100  # label that the loss ignores
COLUMNS = ["input_ids", "labels", "segments", "targets", "group", "split", "idx", "row"]  # that `collate` reads


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
    inputs = rows["input_ids"]
    lengths = np.array([len(ids) for ids in inputs])
    real = np.arange(lengths.max()) < lengths[:, None]  # (B, S)
    return {
        "input_ids": _pad(inputs, pad_token_id),
        "attention_mask": torch.from_numpy(real.astype(np.int64)),
        "labels": _pad(rows["labels"], IGNORE_INDEX),
        "source": ["".join(segments) for segments in rows["segments"]],
        "targets": rows["targets"],
        "group": rows["group"],
        "split": rows["split"],
        "idx": rows["idx"],
        "row": rows["row"],
    }


def pin(batch: Batch) -> Batch:
    """Copy the tensors to page-locked memory: without it, the copy to a GPU waits for all work that is queued there."""
    tensors = {name: value.pin_memory() for name, value in batch.items() if isinstance(value, Tensor)}
    return {**batch, **tensors}  # type: ignore[typeddict-item]


def _pad(rows: list[list[int]], value: int) -> Tensor:
    padded = np.full((len(rows), max(map(len, rows))), value, np.int64)  # NumPy reads lists ten times as fast as torch
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(padded)
