"""Rows → split → text pair → tokens → batches."""

import math
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from lit_compacter.backbones.tokenizer import load_tokenizer
from lit_compacter.data.collate import Batch
from lit_compacter.data.columns import digest, most_common_target, numbers
from lit_compacter.data.loaders import LoaderState, ResumableLoader, check_validation_interval, evaluation_loader
from lit_compacter.data.options import DataOptions
from lit_compacter.data.rows import Rows, load_rows
from lit_compacter.data.samplers import EvaluationBatchSampler, LengthGroupedBatchSampler, num_batches
from lit_compacter.data.sources import HubConfiguration, Source, from_file, from_files, from_hub
from lit_compacter.data.tokenization import Encoder, tokenize_rows
from lit_compacter.data.vocabulary import check_labels, check_learnable, describe_losses
from lit_compacter.errors import UserError
from lit_compacter.tasks import CUSTOM, find_task
from lit_compacter.tasks.answers import Labels
from lit_compacter.tasks.splits import LoadSplit, SplitName, shuffled

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
        self.data: dict[str, datasets.Dataset] = {}  # split → tokenized rows
        self.commit: str | None = None  # of the data set, once its rows are loaded from the hub
        self.resumed: LoaderState | None = None  # the loader's state in the checkpoint to resume from

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
        """The most common target of the training rows; empty if the task has no leaderboard, for which it is."""
        return most_common_target(self.data["train"]) if self.task.leaderboard else ""

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
        load = cache(lambda name: self._load(self._source(name)))  # two splits may come from one official set
        for split in splits:
            if split not in self.data:
                self.data[split] = self._examples(split, load)
                if split == "train":
                    check_learnable(self.data[split], self.tokenizer, self.max_target_length)

    def download(self) -> Path | None:
        """Download the task's rows, unless they are cached; None if they come from local files."""
        source = self._hub_source
        return source.download(self.options.revision) if source else None

    # Loaders

    def train_dataloader(self) -> ResumableLoader:
        pad = self.tokenizer.pad_token_id
        loader = ResumableLoader(self.data["train"], self._training_sampler(), pad, self._on_cuda)
        if self.trainer is not None:
            check_validation_interval(self.trainer, len(loader))
        if self.resumed is not None:
            loader.load_state_dict(self.resumed)
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

    def _evaluation_loader(self, split: str) -> DataLoader[Batch]:
        pad = self.tokenizer.pad_token_id
        return evaluation_loader(self.data[split], self._evaluation_sampler(split), pad, self._on_cuda)

    def _training_sampler(self) -> LengthGroupedBatchSampler:
        options, lengths, place = self.options, numbers(self.data["train"], "length"), self.rank_and_world_size
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
            warnings.warn(
                "the validation rows have changed since the checkpoint: val/score before and after are computed on "
                "different rows, and best.ckpt is chosen by both",
                stacklevel=2,
            )

    # From rows to examples

    @property
    def _hub_source(self) -> HubConfiguration | None:
        """Where the rows are on the hub; None if they come from files."""
        return self.task.hub if self.options.data_dir is None else None

    def _source(self, official_split: str) -> Source:
        if hub := self._hub_source:
            self.commit = hub.find(self.options.revision).commit
            return from_hub(self.task, hub, official_split, hub.download(self.options.revision))
        folder = Path(self.options.data_dir or "") if self.task.hub else Path()  # custom files have their own paths
        return from_files(self.task, official_split, folder)

    def _load(self, source: Source) -> Rows:
        return load_rows(source, self.task, self.options.add_task_name, self.options.cache_dir)

    def _rows(self, split: str, load: LoadSplit) -> Rows:
        """The rows of train, validation or test."""
        options, task = self.options, self.task
        make_split = task.split if options.split == "paper" else task.official_split
        name: SplitName = split  # type: ignore[assignment]
        rows = make_split(name, load, options.data_seed)
        if not len(rows):
            raise UserError(f"task {task.name} has too few rows: none are left for {split}")
        if rows.num_unlabeled:
            raise UserError(
                f"rows of {task.name} for {split} have no labels; a benchmark's test set is for predict, "
                "which writes the file that the leaderboard scores"
            )
        if split == "train" and options.max_train_samples is not None:
            if options.max_train_samples > len(rows):
                warnings.warn(
                    f"data.max_train_samples is more than the {len(rows)} training rows there are", stacklevel=2
                )
            rows = rows[shuffled(len(rows), options.data_seed)[: options.max_train_samples]]
        return rows

    def _rows_to_predict(self, load: LoadSplit) -> dict[str, Rows]:
        """Official split, or the user's file → its rows."""
        if self.options.predict_file is not None:
            path = Path(self.options.predict_file)
            return {path.name: self._load(from_file(self.task, path))}
        return {name: load(name) for name in self.task.leaderboard or ("test",)}

    def _examples(self, split: str, load: LoadSplit) -> "datasets.Dataset":
        """Tokenized rows; a training row gives one example for each correct answer."""
        import datasets

        parts = self._rows_to_predict(load) if split == "predict" else {split: self._rows(split, load)}
        lengths, first_row, examples = (self.options.max_source_length, self.max_target_length), 0, []
        for name, rows in parts.items():
            encoder = Encoder(self.tokenizer, *lengths, name, first_row, one_target=split == "train")
            examples.append(tokenize_rows(rows, encoder, self.options.cache_dir, self.options.num_proc))
            first_row += len(rows)
        return datasets.concatenate_datasets(examples)
