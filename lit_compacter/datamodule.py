"""Rows → split → text pair → tokens → batches."""

import warnings
from collections import Counter
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import datasets
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from lit_compacter.data.loaders import Batch, TrainingBatches, pad
from lit_compacter.data.options import DataOptions
from lit_compacter.data.samplers import EvaluationBatches, LengthGroupedBatches, taken
from lit_compacter.data.sources import Row, from_file, from_files, from_hub
from lit_compacter.data.tokenization import Example, digest, load_tokenizer, tokenised
from lit_compacter.data.vocabulary import check_labels, check_learnable, losses
from lit_compacter.errors import UserError
from lit_compacter.tasks import OWN, find_task
from lit_compacter.tasks.answers import Labels
from lit_compacter.tasks.custom import warn_of_equal_files
from lit_compacter.tasks.splits import Load, Role, shuffled


class GlueDataModule(LightningDataModule):
    """GLUE, SuperGLUE and the user's own tasks as pairs of texts.

    Args:
        options: The fields of `DataOptions`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = DataOptions(**options)
        self.task = find_task(self.options)
        self.data: dict[str, datasets.Dataset] = {}
        self.resumed: dict[str, Any] | None = None  # state of the training batches in the checkpoint that is resumed

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The backbone's tokenizer."""
        return load_tokenizer(self.options.model_name)

    @property
    def max_target_length(self) -> int:
        """Tokens of the longest target, and to generate."""
        return self.options.max_target_length or self.task.answer.max_tokens(self.tokenizer)

    @property
    def can_test(self) -> bool:
        """Are there labelled rows for test?"""
        if self.task.name == OWN:
            return self.options.test_file is not None
        return self.options.split == "paper" or bool(self.task.trained_on)

    @property
    def most_common_target(self) -> str:
        """The majority label of the training rows, as target text."""
        return Counter(targets[0] for targets in self.data["train"]["targets"][:]).most_common(1)[0][0]

    def prepare_data(self) -> None:
        """Download and tokenise once per machine; `setup` finds the result in the cache."""
        assert self.trainer is not None
        self.setup(self.trainer.state.fn)

    def setup(self, stage: str | None) -> None:
        """Load what the stage needs: fit (train, validation), validate, test or predict (the official test set)."""
        needed: dict[str | None, tuple[str, ...]] = {
            "fit": ("train", "validation"),
            "validate": ("validation",),
            "test": ("test",),
            "predict": ("predict",),
        }
        if stage == "fit" and self.task.name == OWN:
            warn_of_equal_files(self.options)
        self.make(*needed[stage])

    def make(self, *roles: str) -> None:
        """Make the examples of train, validation, test or predict, where they are not there yet."""
        if isinstance(self.task.answer, Labels):
            check_labels(self.task.answer.texts, self.tokenizer, self.max_target_length)
        load = cache(self._load)  # a split may make two roles of one official set
        for role in roles:
            if role not in self.data:
                lengths = self.options.max_source_length, self.max_target_length
                self.data[role] = tokenised(self._examples(role, load), self.tokenizer, *lengths)
                if role == "train":
                    check_learnable(self.data[role], self.tokenizer, self.max_target_length)

    def train_dataloader(self) -> TrainingBatches:
        batches = TrainingBatches(self.data["train"], self._training_batches(), self.tokenizer.pad_token_id)
        if self.resumed is not None:
            batches.load_state_dict(self.resumed)
        return batches

    def batches_done(self, epoch: int) -> int:
        """Batches of `epoch` that a resumed run was trained on before the stop."""
        return self.resumed["given"] if self.resumed and self.resumed["epoch"] == epoch else 0

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("predict")

    def _evaluation_loader(self, role: str) -> DataLoader[Batch]:
        # The sampler yields whole batches of row numbers: the data set fetches each in one read.
        collate = partial(pad, pad_token_id=self.tokenizer.pad_token_id)
        batches: Any = self._evaluation_batches(role)
        return DataLoader(dataset=self.data[role], sampler=batches, batch_size=None, collate_fn=collate)  # type: ignore[arg-type]

    def _training_batches(self) -> LengthGroupedBatches:
        options = self.options
        return LengthGroupedBatches(self.data["train"]["length"][:], options.batch_size, options.seed, *self._place)

    def _evaluation_batches(self, role: str) -> EvaluationBatches:
        data, options = self.data[role], self.options
        limit = self._limit(role)[1]
        return EvaluationBatches(
            data["length"][:], data["group"][:], options.batch_size, options.data_seed, *self._place, limit=limit
        )

    def losses(self, role: str) -> list[str]:
        """What of the rows is cut or cannot be read or written, in words, a line each."""
        return losses(self.data[role], self.tokenizer, self.options.max_source_length, self.max_target_length)

    def sample(self, role: str) -> str | None:
        """Of which rows the trainer takes a part, in words; None where it takes all."""
        (option, limit), total = self._limit(role), len(self.data[role])
        if role == "train":
            batches = self._training_batches()
            rows = min(total, taken(len(batches), limit) * batches.batch_size)
            drawn = "drawn anew for each epoch"
        else:
            rows = len(self._evaluation_batches(role).rows)
            drawn = "drawn by data.data_seed"
        return f"{rows:,} of {total:,} rows, {drawn} (trainer.{option} {limit})" if rows < total else None

    def _limit(self, role: str) -> tuple[str, int | float]:
        """The trainer's option that limits the batches of a role, and its value."""
        option = f"limit_{'val' if role == 'validation' else role}_batches"
        return option, getattr(self.trainer, option) if self.trainer else 1.0

    @property
    def _place(self) -> tuple[int, int]:
        """Number of this process, and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def state_dict(self) -> dict[str, Any]:
        """Which validation rows best.ckpt was chosen by; the training batches have a state of their own."""
        rows = self.data.get("validation")
        return {} if rows is None else {"validation": digest(rows, "input_ids", "labels")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Warn where a run goes on with other validation rows."""
        ours = self.state_dict()
        if self.trainer and self.trainer.state.fn == "fit" and state.get("validation") != ours.get("validation"):
            warnings.warn(
                "the validation rows have changed since the checkpoint: val/score before and after are not of the "
                "same rows, and best.ckpt is chosen by both",
                stacklevel=2,
            )

    def _load(self, official_split: str) -> list[Row]:
        if self.task.hub is not None and self.options.data_dir is None:
            return from_hub(self.task, *self.task.hub, official_split)
        folder = Path(self.options.data_dir or "") if self.task.hub else Path()  # one's own files have their own paths
        return from_files(self.task, official_split, folder)

    def _rows(self, role: str, load: Load) -> list[Row]:
        """The rows of train, validation, test or predict; those of predict name the `split` that they come from."""
        options, task = self.options, self.task
        if role == "predict":
            if options.predict_file is not None:
                path = Path(options.predict_file)
                return [replace(row, split=path.name) for row in from_file(task, path)]
            return [replace(row, split=split) for split in task.leaderboard or ("test",) for row in load(split)]
        split = task.split if options.split == "paper" else task.official
        split_role: Role = role  # type: ignore[assignment]
        rows = split(split_role, load, options.data_seed)
        if not rows:
            raise UserError(f"task {task.name} has too few rows: none is left for {role}")
        if any(row.label is None for row in rows):
            raise UserError(
                f"rows of {task.name} for {role} have no labels; a benchmark's test set is for predict, "
                "which writes the file that the leaderboard scores"
            )
        if role == "train" and options.max_train_samples is not None:
            if options.max_train_samples > len(rows):
                warnings.warn(
                    f"data.max_train_samples is more than the {len(rows)} training rows there are", stacklevel=2
                )
            rows = shuffled(rows, options.data_seed)[: options.max_train_samples]
        return rows

    def _examples(self, role: str, load: Load) -> list[Example]:
        """Text pairs; of a training row one for each right answer."""
        groups: dict[Any, int] = {}
        examples = []
        for number, row in enumerate(self._rows(role, load)):
            example = {
                "pieces": self.task.pieces(row, self.options.add_task_name),
                "idx": row.idx,
                "group": groups.setdefault(number if row.group is None else row.group, len(groups)),
                "split": row.split or role,
                "row": number,
            }
            targets = self.task.targets(row)
            answers = [[target] for target in targets] if role == "train" else [targets]
            examples += [example | {"targets": answer} for answer in answers]
        return examples
