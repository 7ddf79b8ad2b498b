"""Training rows that are read as a stream, for files that no disk should hold a second time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from pytorch_lightning import Trainer

from lit_compacter.data.collate import COLUMNS, Batch
from lit_compacter.data.columns import digest, numbers
from lit_compacter.data.loaders import check_same_order, padded_batches
from lit_compacter.data.samplers import LengthGroupedBatchSampler, OrderSettings
from lit_compacter.errors import UserError

if TYPE_CHECKING:
    import datasets


class StreamState(OrderSettings):
    """Position in the stream, and what its batches depend on."""

    epoch: int  # 0: to Lightning, the whole run is one epoch
    num_yielded: int  # batches of it
    cycle: int  # how often the stream had been read to its end
    first_row: int  # of the buffer, in the stream
    buffer: int  # number of the buffer since the beginning of the run
    num_in_buffer: int  # batches of it
    digest: str  # of its rows


@dataclass(frozen=True)
class Buffer:
    """Consecutive rows of the stream.

    Attributes:
        number: Of the buffer, since the beginning of the run.
        cycle: How often the stream had been read to its end before.
        first_row: Number of the first row in the stream.
        examples: The tokenized rows.
    """

    number: int
    cycle: int
    first_row: int
    examples: "datasets.Dataset"


class StreamLoader:
    """Padded training batches of a stream that is read again and again, until the run ends.

    Rows are taken `buffer_size` at a time, shuffled and grouped by length as `LengthGroupedBatchSampler` does with the
    rows of an epoch; the next buffer is tokenized while one is trained on. The order is a function of the seed and the
    position alone, so a resumed run reads on from its buffer. Each process reads all rows and takes its share of each
    batch.

    Args:
        read: Begins to read the stream, and yields its rows in the form that `encode` takes.
        encode: Makes examples of rows, given the number of the first one.
        make_sampler: Makes the order of the batches of a buffer, given the lengths of its examples.
        buffer_size: Rows in memory at a time.
        num_batches: Batches until the end of the run.
        pad_token_id: The tokenizer's padding token.
        pin_memory: Copy batches to page-locked memory, for a GPU.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[Any]],
        encode: Callable[[list[Any], int], "datasets.Dataset"],
        make_sampler: Callable[[Any], LengthGroupedBatchSampler],
        buffer_size: int,
        num_batches: int,
        pad_token_id: int,
        pin_memory: bool = False,
    ) -> None:
        self.read, self.encode, self.make_sampler = read, encode, make_sampler
        self.buffer_size = buffer_size
        self.num_batches = num_batches
        self.pad_token_id = pad_token_id
        self.pin_memory = pin_memory
        self.state: StreamState | None = None  # after the last batch that was yielded
        self.resumed: StreamState | None = None

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Batch]:
        resumed, self.resumed = self.resumed, None
        num_yielded = resumed["num_yielded"] if resumed else 0
        for buffer in self._ahead(self._buffers(resumed)):
            sampler = self.make_sampler(numbers(buffer.examples, "length"))
            sampler.set_epoch(buffer.number)
            state: StreamState = {
                **sampler.settings,
                "buffer_size": self.buffer_size,
                "epoch": 0,
                "num_yielded": num_yielded,
                "cycle": buffer.cycle,
                "first_row": buffer.first_row,
                "buffer": buffer.number,
                "num_in_buffer": 0,
                "digest": digest(buffer.examples, "input_ids", "labels"),
            }
            if resumed:
                _check_same_stream(resumed, state)
            first = resumed["num_in_buffer"] if resumed else 0
            resumed = None
            examples = buffer.examples.select_columns(COLUMNS)
            batches = padded_batches(examples, sampler, self.pad_token_id, self.pin_memory, first)
            for number, batch in enumerate(batches, start=first + 1):
                num_yielded += 1
                self.state = {**state, "num_yielded": num_yielded, "num_in_buffer": number}
                yield batch

    def _buffers(self, position: StreamState | None) -> Iterator[Buffer]:
        number, cycle, first_row = (
            (position[name] for name in ("buffer", "cycle", "first_row")) if position else (0, 0, 0)
        )
        while True:
            rows = islice(self.read(), first_row, None)
            while taken := list(islice(rows, self.buffer_size)):
                yield Buffer(number, cycle, first_row, self.encode(taken, first_row))
                number += 1
                first_row += len(taken)
            cycle, first_row = cycle + 1, 0

    def _ahead(self, buffers: Iterator[Buffer]) -> Iterator[Buffer]:
        """Make the next buffer in a thread while one is in use."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            upcoming = pool.submit(next, buffers)
            while True:
                buffer = upcoming.result()
                upcoming = pool.submit(next, buffers)
                yield buffer

    def state_dict(self) -> StreamState:
        assert self.state is not None  # Lightning saves after a batch
        return self.state

    def load_state_dict(self, state: StreamState) -> None:
        self.resumed = state


def _check_same_stream(resumed: StreamState, current: StreamState) -> None:
    """Raise UserError if the batches of the buffer to resume from would be others."""
    check_same_order(resumed, current)
    if resumed["digest"] != current["digest"]:
        raise UserError(
            f"the rows of the stream from row {resumed['first_row'] + 1:,} on have changed since the checkpoint, or "
            "end earlier; use the original rows, or another --run_name to start a new run"
        )


def num_streamed_batches(trainer: Trainer | None) -> int:
    """Batches of a run that reads a stream.

    Raises:
        UserError: The run has no end, or an epoch of it would have one.
    """
    if trainer is None or trainer.max_steps < 1:
        raise UserError("data.streaming: a stream has no known number of rows, so the run needs --trainer.max_steps")
    limit: int | float = trainer.limit_train_batches  # 1.0 is all batches, and 1 a single one
    if (isinstance(limit, int) or limit != 1) and not trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise UserError("data.streaming: a stream is one epoch; give trainer.max_steps, not limit_train_batches")
    return trainer.max_steps * trainer.accumulate_grad_batches
