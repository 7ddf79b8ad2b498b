"""Padded batches of tokenised rows: what training and evaluation read, and where training goes on after a stop."""

import warnings
from collections.abc import Iterator
from functools import cached_property
from typing import Any, TypeAlias

import datasets
import torch
from torch import Tensor

from lit_compacter.data.samplers import LengthGroupedBatches
from lit_compacter.data.tokenization import digest
from lit_compacter.errors import UserError

IGNORE = -100  # label that the loss leaves out

Batch: TypeAlias = dict[str, Any]


class TrainingBatches:
    """Padded training batches, resumable: Lightning saves `state_dict` and finds `set_epoch` on the sampler.

    The state says how many batches of which epoch were given. What the sampler gives is a function of seed, epoch and
    rows, so that is all that is needed as long as these are the same, which the state tells.

    Args:
        data: Tokenised rows.
        sampler: Gives the row numbers of this process's share of each batch.
        pad_token_id: Of the tokenizer.
    """

    def __init__(self, data: datasets.Dataset, sampler: LengthGroupedBatches, pad_token_id: int) -> None:
        self.data = data
        self.sampler = sampler
        self.pad_token_id = pad_token_id
        self.given = 0
        self.resumed: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        first = self._first()
        for number, rows in enumerate(self.sampler):
            if number < first:
                continue
            self.given = number + 1
            # A process whose share of a small batch is empty takes part with an example that counts for nothing.
            batch = pad(self.data[rows or [0]], self.pad_token_id)
            if not rows:
                batch["labels"].fill_(IGNORE)
            yield batch

    def _first(self) -> int:
        """Where to begin: after what was given, in the epoch that was left in the middle."""
        resumed, self.resumed = self.resumed, None
        if resumed is None:
            return 0
        middle = resumed["epoch"] == self.sampler.epoch
        if resumed.get("digest", self.digest) != self.digest:
            self._changed(resumed["rows"], middle)
        if not middle:
            return 0
        for name, option in (("batch_size", "data.batch_size × processes"), ("seed", "seed_everything")):
            ours = getattr(self.sampler, name)
            if resumed[name] != ours:
                raise UserError(
                    f"the checkpoint is of the middle of an epoch with {option} {resumed[name]}, this run has {ours}; "
                    "keep it, or go on from the end of an epoch"
                )
        return int(resumed["given"])

    def _changed(self, rows: int, middle: bool) -> None:
        """Say that the checkpoint was trained on other rows. In the middle of an epoch that is refused."""
        changed = f"the training rows have changed since the checkpoint ({rows:,} rows then, {len(self.data):,} now)"
        if middle:
            raise UserError(
                f"{changed}, which is of the middle of an epoch: some would be trained on twice and some never. Give "
                "the rows of then, a checkpoint of an epoch's end, or another --run_name to begin anew"
            )
        warnings.warn(f"{changed}; training goes on with those of now", stacklevel=2)

    @cached_property
    def digest(self) -> str:
        """Of what the model is trained on, row by row."""
        return digest(self.data, "input_ids", "labels")

    def state_dict(self) -> dict[str, Any]:
        order = {"seed": self.sampler.seed, "batch_size": self.sampler.batch_size}
        return order | {
            "epoch": self.sampler.epoch,
            "given": self.given,
            "rows": len(self.data),
            "digest": self.digest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.resumed = state


def pad(rows: dict[str, list[Any]], pad_token_id: int) -> Batch:
    """Columns of rows → a padded batch: input_ids, attention_mask (B, S), labels (B, T) with −100 where padded."""
    inputs = [torch.tensor(ids) for ids in rows["input_ids"]]
    labels = [torch.tensor(ids) for ids in rows["labels"]]
    return {
        "input_ids": _stack(inputs, pad_token_id),
        "attention_mask": _stack([torch.ones_like(ids) for ids in inputs], 0),
        "labels": _stack(labels, IGNORE),
        "source": ["".join(pieces) for pieces in rows["pieces"]],
        **{name: rows[name] for name in ("targets", "group", "split", "idx", "row")},
    }


def _stack(tensors: list[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
