"""Rows → text pairs → split → tokens → batches."""

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from lit_compacter.backbones.tokenizer import load_tokenizer
from lit_compacter.data.collate import Batch
from lit_compacter.data.columns import digest, most_common_target, numbers
from lit_compacter.data.loaders import LoaderState, ResumableLoader, check_validation_interval, evaluation_loader
from lit_compacter.data.options import DataOptions
from lit_compacter.data.rows import Rows
from lit_compacter.data.samplers import EvaluationBatchSampler, LengthGroupedBatchSampler, num_batches
from lit_compacter.data.streaming import StreamLoader, StreamState, num_streamed_batches
from lit_compacter.data.tokenization import Encoder, encode_rows, tokenize_rows
from lit_compacter.data.vocabulary import check_labels, check_learnable, describe_losses
from lit_compacter.errors import RunWarning, UserError
from lit_compacter.tasks import CUSTOM, find_task
from lit_compacter.tasks.answers import Labels
from lit_compacter.tasks.task_rows import TaskRows

if TYPE_CHECKING:
    import datasets

SPLITS: dict[str, tuple[str, ...]] = {
    "fit": ("train", "validation"),
    "validate": ("validation",),
    "test": ("test",),
    "predict": ("predict",),
}


class GlueDataModule(LightningDataModule):
    """GLUE, SuperGLUE and custom tasks as pairs of texts.

    Args:
        options: The fields of `DataOptions`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = DataOptions(**options)
        self.task = find_task(self.options)
        self.rows = TaskRows(self.task, self.options)
        self.data: dict[str, datasets.Dataset] = {}  # split → tokenized rows
        self.resumed: LoaderState | StreamState | None = None  # the loader's state in the checkpoint to resume from

    @property
    def commit(self) -> str | None:
        """The commit of the data set, once its rows are loaded from the hub."""
        return self.rows.commit

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The backbone's tokenizer."""
        return load_tokenizer(self.options.model_name, self.options.model_revision)

    @property
    def max_target_length(self) -> int:
        """Maximum length of targets and of generated answers, in tokens."""
        return self.options.max_target_length or self.task.answer.max_tokens(self.tokenizer)

    @property
    def has_test_split(self) -> bool:
        """Whether there are labeled rows for test."""
        if self.task.name == CUSTOM:
            return self.options.test_file is not None
        return self.options.split == "paper" or bool(self.task.trained_on)

    @property
    def majority_target(self) -> str:
        """The most common target of the training rows, for the leaderboard's file.

        Empty if the task has no leaderboard, or the rows are a stream.
        """
        return most_common_target(self.data["train"]) if self.task.leaderboard and "train" in self.data else ""

    def prepare_data(self) -> None:
        """Download and tokenize once per machine; `setup` finds the result in the cache."""
        assert self.trainer is not None and self.trainer.state.fn is not None
        self.setup(self.trainer.state.fn)

    def setup(self, stage: str) -> None:
        """Load what the stage needs: fit (train, validation), validate, test or predict (the official test set)."""
        self.prepare_split(*SPLITS[stage])

    def prepare_split(self, *splits: str) -> None:
        """Load and tokenize train, validation, test or predict, unless already done."""
        if isinstance(self.task.answer, Labels):
            check_labels(self.task.answer.targets, self.tokenizer, self.max_target_length)
        for split in splits:
            if split == "train" and self.options.streaming:
                self.rows.check_streaming()
            elif split not in self.data:
                self.data[split] = self._examples(split)
                if split == "train":
                    check_learnable(self.data[split], self.tokenizer, self.max_target_length)

    def download(self) -> Path | None:
        """Download the task's rows, unless they are cached; None if they come from local files."""
        return self.rows.hub.download(self.options.revision) if self.rows.hub else None

    # Loaders

    def train_dataloader(self) -> ResumableLoader | StreamLoader:
        loader = self._stream_loader() if self.options.streaming else self._training_loader()
        if self.trainer is not None:
            check_validation_interval(self.trainer, len(loader))
        if self.resumed is not None:
            if (was_stream := "buffer" in self.resumed) != self.options.streaming:
                raise UserError(
                    f"the checkpoint was written with data.streaming {str(was_stream).lower()}, which orders rows in "
                    "another way; use the same, or another --run_name to start a new run"
                )
            loader.load_state_dict(self.resumed)  # type: ignore[arg-type]
        return loader

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("predict")

    def num_trained_batches(self, epoch: int) -> int:
        """Number of batches of `epoch` that a resumed run had already trained on before the stop."""
        return self.resumed["num_yielded"] if self.resumed and self.resumed["epoch"] == epoch else 0

    def _training_loader(self) -> ResumableLoader:
        pad = self.tokenizer.pad_token_id
        return ResumableLoader(self.data["train"], self._training_sampler(), pad, self._on_cuda)

    def _stream_loader(self) -> StreamLoader:
        def encode(rows: list[dict[str, Any]], first_row: int) -> "datasets.Dataset":
            return encode_rows(rows, self._encoder("train"), first_row)

        return StreamLoader(
            self.rows.stream,
            encode,
            self._sampler_of,
            self.options.buffer_size,
            num_streamed_batches(self.trainer),
            self.tokenizer.pad_token_id,
            self._on_cuda,
        )

    def _evaluation_loader(self, split: str) -> DataLoader[Batch]:
        pad = self.tokenizer.pad_token_id
        return evaluation_loader(self.data[split], self._evaluation_sampler(split), pad, self._on_cuda)

    def _training_sampler(self) -> LengthGroupedBatchSampler:
        return self._sampler_of(numbers(self.data["train"], "length"))

    def _sampler_of(self, lengths: npt.NDArray[np.int64]) -> LengthGroupedBatchSampler:
        options, place = self.options, self.rank_and_world_size
        return LengthGroupedBatchSampler(
            lengths, options.batch_size, options.seed, *place, max_tokens=options.max_tokens_per_batch
        )

    def _evaluation_sampler(self, split: str) -> EvaluationBatchSampler:
        data, options = self.data[split], self.options
        return EvaluationBatchSampler(
            numbers(data, "length"),
            numbers(data, "group"),
            options.batch_size,
            options.data_seed,
            *self.rank_and_world_size,
            limit=self._limit(split)[1],
            max_tokens=options.max_tokens_per_batch,
        )

    @property
    def rank_and_world_size(self) -> tuple[int, int]:
        """The rank of this process, and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    @property
    def _on_cuda(self) -> bool:
        """Whether batches go to a GPU. Lightning then copies them without waiting for the copy."""
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _limit(self, split: str) -> tuple[str, int | float]:
        """The trainer's option that limits the batches of a split, and its value."""
        option = f"limit_{'val' if split == 'validation' else split}_batches"
        return option, getattr(self.trainer, option) if self.trainer else 1.0

    # Descriptions of the data to print

    def describe_losses(self, split: str) -> list[str]:
        """Describe what the rows lose to truncation and to the vocabulary, one line each."""
        lengths = self.options.max_source_length, self.max_target_length
        return describe_losses(self.data[split], self.tokenizer, *lengths)

    def describe_sample(self, split: str) -> str | None:
        """Describe which rows the trainer uses; None if it uses all of them."""
        (option, limit), total = self._limit(split), len(self.data[split])
        if split == "train":
            batches = len(self._training_sampler())
            rows = math.ceil(total * num_batches(batches, limit) / batches)  # the mean of all epochs
            drawn = "drawn anew for each epoch"
        else:
            rows = len(self._evaluation_sampler(split).rows)
            drawn = "drawn by data.data_seed"
        return f"{rows:,} of {total:,} rows, {drawn} (trainer.{option} {limit})" if rows < total else None

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """A digest of the validation rows that select best.ckpt. The training loader has its own state."""
        rows = self.data.get("validation")
        return {} if rows is None else {"validation": digest(rows, "input_ids", "labels")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Warn if a run resumes with other validation rows."""
        current = self.state_dict()
        if self.trainer and self.trainer.state.fn == "fit" and state.get("validation") != current.get("validation"):
            told = (
                "the validation rows have changed since the checkpoint: val/score before and after are computed on "
                "different rows, and best.ckpt is chosen by both"
            )
            warnings.warn(RunWarning(told), stacklevel=2)

    # From rows to examples

    def _encoder(self, split: str, first_row: int = 0) -> Encoder:
        lengths = self.options.max_source_length, self.max_target_length
        return Encoder(self.tokenizer, *lengths, split, first_row, one_target=split == "train")

    def _examples(self, split: str) -> "datasets.Dataset":
        """Tokenized rows; a training row gives one example for each correct answer."""
        import datasets

        if split != "predict":
            return self._tokenize(self.rows.split(split), self._encoder(split))  # type: ignore[arg-type]
        parts, first_row = [], 0
        for name, rows in self.rows.to_predict().items():
            parts.append(self._tokenize(rows, self._encoder(name, first_row)))
            first_row += len(rows)
        return datasets.concatenate_datasets(parts)

    def _tokenize(self, rows: Rows, encoder: Encoder) -> "datasets.Dataset":
        return tokenize_rows(rows, encoder, self.options.cache_dir, self.options.num_proc)
