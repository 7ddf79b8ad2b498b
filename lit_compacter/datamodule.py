"""Rows → split → text pair → tokens → batches."""

from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import datasets
import torch
from datasets.fingerprint import Hasher
from jsonargparse.typing import PositiveInt
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lit_compacter.errors import UserError, first_line
from lit_compacter.sampling import LengthGroupedBatches, LongestFirstBatches
from lit_compacter.sources import from_files, from_hub
from lit_compacter.splits import Load, Role
from lit_compacter.tasks import Task, find_task

IGNORE = -100  # label that the loss leaves out

Batch = dict[str, Any]


class GlueDataModule(LightningDataModule):
    """GLUE and SuperGLUE tasks as pairs of texts.

    Args:
        task: Name of the task, such as rte, mrpc or boolq; an unknown one lists all.
        model_name: Hub name or folder of the model whose tokenizer is used.
        data_dir: Folder with the benchmark's own files (DIR/RTE/train.tsv, …). Default: rows come from the hub.
        batch_size: Examples per batch and process, in training and evaluation.
        max_source_length: Longest input in tokens; what is longer is cut at its end.
        add_task_name: Begin each input with the task's name. The paper does so for full fine-tuning, BitFit, prompt
            tuning and Intrinsic-SAID, and not for adapters.
        data_seed: Seed of the split of the official validation set into validation and test.
        seed: Seed of the order of training batches.
    """

    def __init__(
        self,
        task: str,
        model_name: str,
        data_dir: str | None = None,
        batch_size: PositiveInt = 100,  # type: ignore[valid-type]
        max_source_length: PositiveInt = 128,  # type: ignore[valid-type]
        add_task_name: bool = False,
        data_seed: int = 42,
        seed: int = 42,
    ) -> None:
        super().__init__()
        self.task: Task = find_task(task)
        self.model_name = model_name
        self.data_dir = data_dir
        self.batch_size = int(batch_size)
        self.max_source_length = int(max_source_length)
        self.add_task_name = add_task_name
        self.data_seed = data_seed
        self.seed = seed
        self.data: dict[str, datasets.Dataset] = {}

    @property
    def input_options(self) -> dict[str, Any]:
        """What must be the same in training and evaluation: how inputs are made, and which rows are held out."""
        names = ("add_task_name", "max_source_length", "data_seed")
        return {name: getattr(self, name) for name in names}

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The backbone's tokenizer."""
        return load_tokenizer(self.model_name)

    @property
    def max_target_length(self) -> int:
        """Tokens to generate: one more than the longest valid output, so that a longer one is not taken for it."""
        return 1 + max(len(ids) for ids in self.tokenizer(self.task.target_texts).input_ids)

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
        load = cache(self._load)  # a split may make two roles of one official file
        for role in needed[stage]:
            if role not in self.data:
                self.data[role] = self._tokenised(role, load)

    def train_dataloader(self) -> DataLoader[Batch]:
        data = self.data["train"]
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return self._loader(data, LengthGroupedBatches(data["length"], self.batch_size, self.seed, rank, world_size))

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self._evaluation_loader("predict")

    def _evaluation_loader(self, role: str) -> DataLoader[Batch]:
        return self._loader(self.data[role], LongestFirstBatches(self.data[role]["length"], self.batch_size))

    def _loader(self, data: datasets.Dataset, batches: LengthGroupedBatches | LongestFirstBatches) -> DataLoader[Batch]:
        # The sampler yields whole batches of indices: the data set fetches each in one read, and Lightning finds
        # `set_epoch` on it.
        collate = partial(pad, pad_token_id=self.tokenizer.pad_token_id)
        return DataLoader(dataset=data, sampler=batches, batch_size=None, collate_fn=collate)  # type: ignore[arg-type]

    def _load(self, official_split: str) -> datasets.Dataset:
        """Text pairs of an official split and their tokens, in official order."""
        if self.data_dir is None:
            rows = from_hub(*self.task.hub, official_split)
        else:
            rows = from_files(self.task.files, official_split, self.task.labels, Path(self.data_dir))
        texts = [
            {"source": self.task.source(row, self.add_task_name), "target": self.task.target(row), "idx": row["idx"]}
            for row in rows
        ]
        # Tokens are cached by what they are made from, so a changed row, task or tokenizer makes new ones.
        key = Hasher.hash((texts, self.tokenizer.backend_tokenizer.to_str(), self.max_source_length))
        folder = Path(datasets.config.HF_DATASETS_CACHE) / "lit_compacter"
        folder.mkdir(parents=True, exist_ok=True)
        return datasets.Dataset.from_list(texts).map(
            self._tokenise,
            batched=True,
            new_fingerprint=key,
            cache_file_name=str(folder / f"{self.task.name}-{official_split}-{key}.arrow"),
            desc=f"tokenising {self.task.name} {official_split}",
        )

    def _tokenised(self, role: str, load: Load) -> datasets.Dataset:
        if role == "predict":
            return load("test")
        split_role: Role = role  # type: ignore[assignment]
        return self.task.split(split_role, load, self.data_seed)

    def _tokenise(self, texts: dict[str, list[str]]) -> dict[str, list[Any]]:
        input_ids = self.tokenizer(texts["source"], truncation=True, max_length=self.max_source_length).input_ids
        labels = self.tokenizer(texts["target"]).input_ids
        return {"input_ids": input_ids, "labels": labels, "length": [len(ids) for ids in input_ids]}


@lru_cache(maxsize=4)
def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model on the hub or in a folder.

    Raises:
        UserError: There is none at `name`.
    """
    if (name[:1] in ("/", ".", "~") or name.count("/") > 1) and not Path(name).is_dir():
        raise UserError(f"no folder {name!r} (model.model_name); expected a model's folder or its name on the hub")
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot load a tokenizer from {name!r}: {first_line(error)}; "
            "offline, give a folder that holds the model and its tokenizer: --model.model_name DIR"
        ) from error


def pad(rows: dict[str, list[Any]], pad_token_id: int) -> Batch:
    """Columns of rows → a padded batch: input_ids, attention_mask (B, S), labels (B, T) with −100 where padded."""
    inputs = [torch.tensor(ids) for ids in rows["input_ids"]]
    labels = [torch.tensor(ids) for ids in rows["labels"]]
    return {
        "input_ids": _stack(inputs, pad_token_id),
        "attention_mask": _stack([torch.ones_like(ids) for ids in inputs], 0),
        "labels": _stack(labels, IGNORE),
        "source": rows["source"],
        "target": rows["target"],
        "idx": rows["idx"],
    }


def _stack(tensors: list[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
