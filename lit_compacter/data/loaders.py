"""The loaders of batches; that of training can resume in the middle of an epoch."""

import warnings
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from lit_compacter.data.collate import COLUMNS, IGNORE_INDEX, Batch, collate, pin
from lit_compacter.data.columns import digest
from lit_compacter.data.samplers import EvaluationBatchSampler, LengthGroupedBatchSampler, OrderSettings, num_batches
from lit_compacter.errors import RunWarning, UserError

if TYPE_CHECKING:
    import datasets


class LoaderState(OrderSettings):
    """Position of the training loader, and what its batches depend on: seed, epoch, size of batches and rows."""

    epoch: int
    num_yielded: int  # batches of the epoch
    rows: int
    digest: str  # of the rows


class ResumableLoader:
    """Padded training batches. Lightning saves `state_dict` and finds `set_epoch` on the sampler.

    Args:
        data: Tokenized rows.
        sampler: Yields the row numbers of this rank's share of each batch.
        pad_token_id: The tokenizer's padding token.
        pin_memory: Copy batches to page-locked memory, for a GPU.
    """

    def __init__(
        self,
        data: "datasets.Dataset",
        sampler: LengthGroupedBatchSampler,
        pad_token_id: int,
        pin_memory: bool = False,
    ) -> None:
        self.data = data.select_columns(COLUMNS)
        self.sampler = sampler
        self.pad_token_id = pad_token_id
        self.pin_memory = pin_memory
        self.num_yielded = 0
        self.resumed: LoaderState | None = None

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        first = self._first_batch()
        batches = padded_batches(self.data, self.sampler, self.pad_token_id, self.pin_memory, first)
        for number, batch in enumerate(batches, start=first + 1):
            self.num_yielded = number
            yield batch

    def _first_batch(self) -> int:
        """The index of the first batch to yield. It is above 0 only when resuming in the middle of an epoch."""
        resumed, self.resumed = self.resumed, None
        if resumed is None:
            return 0
        mid_epoch = resumed["epoch"] == self.sampler.epoch
        if resumed["digest"] != self.digest:
            self._report_changed_rows(resumed["rows"], mid_epoch)
        if not mid_epoch:
            return 0
        check_same_order(resumed, self.state_dict())
        return resumed["num_yielded"]

    def _report_changed_rows(self, rows: int, mid_epoch: bool) -> None:
        """Warn that the training rows have changed; in the middle of an epoch raise UserError."""
        changed = f"the training rows have changed since the checkpoint ({rows:,} rows then, {len(self.data):,} now)"
        if mid_epoch:
            raise UserError(
                f"{changed}, which is from the middle of an epoch: some would be trained on twice and some never. Use "
                "the original rows, a checkpoint from the end of an epoch, or another --run_name to start a new run"
            )
        warnings.warn(RunWarning(changed, "; training continues with the current rows"), stacklevel=2)

    @cached_property
    def digest(self) -> str:
        """Digest of what the model is trained on, row by row."""
        return digest(self.data, "input_ids", "labels")

    def state_dict(self) -> LoaderState:
        return {
            **self.sampler.settings,
            "epoch": self.sampler.epoch,
            "num_yielded": self.num_yielded,
            "rows": len(self.data),
            "digest": self.digest,
        }

    def load_state_dict(self, state: LoaderState) -> None:
        self.resumed = state


def padded_batches(
    data: "datasets.Dataset", sampler: Iterable[list[int]], pad_token_id: int, pin_memory: bool, first: int = 0
) -> Iterator[Batch]:
    """The batches of a training sampler, from number `first` on.

    A rank whose share of a small batch is empty takes part with an example that the loss ignores.
    """
    for rows in islice(sampler, first, None):
        batch = collate(data[rows or [0]], pad_token_id)
        if not rows:
            batch["labels"].fill_(IGNORE_INDEX)
        yield pin(batch) if pin_memory else batch


def check_same_order(resumed: OrderSettings, current: OrderSettings) -> None:
    """Check that a run that resumes in the middle of an epoch makes the same batches of the rows.

    Raises:
        UserError: An option that decides the batches has changed.
    """
    options = {
        "batch_size": "data.batch_size × processes",
        "max_tokens": "data.max_tokens_per_batch × processes",
        "seed": "seed_everything",
        "buffer_size": "data.buffer_size",
    }
    for name, option in options.items():
        then, now = resumed.get(name, "null"), current.get(name, "null")
        if then != now:
            raise UserError(
                f"the checkpoint is from the middle of an epoch with {option} {then}, "
                f"this run has {now}; keep it, use a checkpoint from the end of an epoch, or start a new run with "
                "another --run_name"
            )


def evaluation_loader(
    data: "datasets.Dataset", sampler: EvaluationBatchSampler, pad_token_id: int, pin_memory: bool
) -> DataLoader[Batch]:
    """Padded evaluation batches. The sampler yields whole batches of row numbers: each is fetched in one read."""
    options: Any = {"batch_size": None, "collate_fn": partial(collate, pad_token_id=pad_token_id)}
    return DataLoader(dataset=data.select_columns(COLUMNS), sampler=sampler, pin_memory=pin_memory, **options)


def check_validation_interval(trainer: Trainer, batches: int) -> None:
    """Raise UserError if an epoch has fewer batches than `trainer.val_check_interval`."""
    batches = num_batches(batches, trainer.limit_train_batches)
    interval = trainer.val_check_interval
    if trainer.check_val_every_n_epoch is not None and isinstance(interval, int) and interval > batches:
        raise UserError(
            f"trainer.val_check_interval is {interval}, and an epoch has {batches} batches; expected a number up "
            "to that, or --trainer.check_val_every_n_epoch null to count over all epochs"
        )
