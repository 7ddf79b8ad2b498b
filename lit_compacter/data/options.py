"""The options of the data module, as `--data.<name>` or under `data:` in YAML. The docstrings are their help."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from jsonargparse.typing import PositiveInt, restricted_number_type

from lit_compacter.backbones.options import BACKBONE
from lit_compacter.utils.options import make_plain

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])
LabelValue: TypeAlias = str | int | float


@dataclass(kw_only=True)
class InputOptions:
    """Options that must be the same in training and evaluation: how inputs are made, and which rows are held out."""

    add_task_name: bool = False
    """Begin each input with the task's name. The paper does so for full fine-tuning, BitFit, prompt tuning and
    Intrinsic-SAID, and not for adapters."""

    max_source_length: PositiveInt = 128  # type: ignore[valid-type]
    """Longest input in tokens. In a longer input, the longest fields are truncated, so that the others are kept."""

    max_target_length: PositiveInt | None = None  # type: ignore[valid-type]
    """Longest target and generated answer in tokens. A longer target is truncated, but a label must fit. Default:
    enough for the labels; 24 for numbers, 128 for text."""

    split: Literal["paper", "official"] = "paper"
    """paper: split the labeled rows into train, validation and test. official: use the benchmark's own sets; the test
    set has no labels, and predict writes a file for the leaderboard."""

    data_seed: Seed = 42  # type: ignore[valid-type]
    """Seed of the split, and of max_train_samples."""

    max_train_samples: PositiveInt | None = None  # type: ignore[valid-type]
    """Number of training rows to use, drawn with data_seed; a smaller sample is part of a larger one."""

    source: str | None = None
    """Task text2text: the input, a template over columns such as "question: {question} context: {context}". A column
    may have any name; only those of source and target are read."""

    target: str | None = None
    """Task text2text: the column that holds the answer."""

    labels: list[LabelValue] | None = None
    """Task text2text: the values that the target can have; quote yes, no, true and false. Default: any text, or any
    number for pearson and spearman."""

    metrics: list[str] | None = None
    """Task text2text: how answers are scored; val/score is the mean. Labels: accuracy, f1 (the second label in
    `labels` is the positive class), macro_f1, matthews, exact_match (as accuracy). Numbers: pearson, spearman.
    Text: exact_match (case, signs and punctuation count), f1 (over words, in the same way), rouge (ROUGE-L),
    squad_em and squad_f1 (SQuAD's: without case, ASCII punctuation, and the English a, an, the). Default: accuracy for
    labels, exact_match and f1 for text."""


@dataclass(kw_only=True)
class DataOptions(InputOptions):
    """All options of the data module."""

    task: str
    """Name of the task, such as rte, mrpc or boolq, or text2text for your files. An unknown one lists all tasks."""

    model_name: str = BACKBONE
    """Hub name or folder of the model whose tokenizer is used."""

    model_revision: str | None = None
    """Branch, tag or commit of that model."""

    data_dir: str | None = None
    """Folder with the benchmark's own files (DIR/RTE/train.tsv, …). Default: load the rows from the hub."""

    revision: str | None = None
    """Branch, tag or full commit hash of the data set on the hub. Default: the main branch; for validate, test and
    predict the commit that the model was trained on."""

    cache_dir: str | None = None
    """Folder for the texts and tokens of rows. Default: lit_compacter/ in the cache of datasets (HF_DATASETS_CACHE)."""

    num_proc: PositiveInt | None = None  # type: ignore[valid-type]
    """Processes that tokenize the rows. Default: one, in which the tokenizer uses all cores by threads."""

    streaming: bool = False
    """Read the training rows as a stream while training, without a copy of them on the disk. The run needs
    trainer.max_steps, and the rows are read again from the start if they end before that."""

    buffer_size: PositiveInt = 10_000  # type: ignore[valid-type]
    """Rows of a stream that are shuffled and grouped by length together."""

    train_file: str | None = None
    """Task text2text: training rows, as .csv, .tsv, .jsonl or .parquet; a path, or a URL that fsspec reads, such as
    hf://datasets/me/rows/train.jsonl."""

    validation_file: str | None = None
    """Task text2text: validation rows, which select the best checkpoint."""

    test_file: str | None = None
    """Task text2text: rows for test and predict."""

    predict_file: str | None = None
    """Input file for predict: .csv, .tsv, .jsonl or .parquet with the task's columns; other columns are ignored.
    Default: the task's test set."""

    trained_on: str | None = None
    """For a diagnostic set (ax, axb, axg): the task that the model was trained on, whose input format it uses. Default:
    the checkpoint's task."""

    batch_size: PositiveInt = 100  # type: ignore[valid-type]
    """Examples per batch and process, in training and evaluation."""

    max_tokens_per_batch: PositiveInt | None = None  # type: ignore[valid-type]
    """Source tokens per batch and process, with padding: a batch takes as many examples of similar length as fit, up to
    batch_size, which short texts may need to be higher. An example with more tokens is a batch of its own. Default: no
    limit."""

    seed: int = 42
    """Seed of the order of training batches."""

    def __post_init__(self) -> None:
        make_plain(self)

    @property
    def inputs(self) -> dict[str, Any]:
        """The values of `InputOptions`."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(InputOptions)}
