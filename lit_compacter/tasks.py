"""Tasks as declarations: adding one is one entry in `TASKS` and one YAML in `configs/`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.sources import Files, Jsonl, Row, Tsv
from lit_compacter.splits import Split, carve, halve

Format: TypeAlias = Callable[[Row], str]


def fields(*names: str) -> Format:
    """The reference's input text: `"<field>: <text> <field>: <text>"`."""
    return lambda row: " ".join(f"{name}: {row[name]}" for name in names)


@dataclass(frozen=True)
class Task:
    """One classification task as text-to-text (paper, section 5.1).

    Attributes:
        name: What `--data.task` takes; also the prefix that some methods put before the input.
        hub: Repository and configuration on the Hugging Face hub.
        files: The same rows in the benchmark's own files.
        format: Makes the input text from a row.
        labels: Label words as the official files spell them (a JSON true is "true"), in the order of the hub's class
            ids; the target text is the word's index.
        metrics: Names from `metrics.METRICS`; `score` is their mean.
        split: Makes train, validation and test from the labelled official splits.
    """

    name: str
    hub: tuple[str, str]
    files: Files
    format: Format
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    split: Split = halve

    def __post_init__(self) -> None:
        if "f1" in self.metrics and len(self.labels) != 2:
            raise ValueError(f"{self.name}: f1 is for two labels; macro_f1 is for more")

    def source(self, row: Row, add_task_name: bool = False) -> str:
        """The model's input text."""
        return f"{self.name} {self.format(row)}" if add_task_name else self.format(row)

    def target(self, row: Row) -> str:
        """The text the model learns to write; empty where the label is not known."""
        return "" if row["label"] < 0 else self.target_texts[row["label"]]

    @property
    def target_texts(self) -> list[str]:
        """Every valid output, in the order of `labels`."""
        return [str(index) for index in range(len(self.labels))]


GLUE, SUPERGLUE = "nyu-mll/glue", "aps/super_glue"
ENTAILMENT = ("entailment", "not_entailment")
BOOLEAN = ("false", "true")
SENTENCES = ("sentence1", "sentence2")

GLUE_TASKS = (
    Task(
        "cola",
        hub=(GLUE, "cola"),
        files=Tsv(
            "CoLA",
            {"sentence": "sentence", "label": "label"},
            header=dict.fromkeys(("train", "validation"), ("source", "label", "star", "sentence")),
        ),
        format=fields("sentence"),
        labels=("0", "1"),
        metrics=("matthews",),
    ),
    Task(
        "sst2",
        hub=(GLUE, "sst2"),
        files=Tsv("SST-2", {"sentence": "sentence", "label": "label"}),
        format=fields("sentence"),
        labels=("0", "1"),
        metrics=("accuracy",),
        split=carve,
    ),
    Task(
        "mrpc",
        hub=(GLUE, "mrpc"),
        files=Tsv("MRPC", {"#1 String": "sentence1", "#2 String": "sentence2", "Quality": "label"}),
        format=fields(*SENTENCES),
        labels=("0", "1"),
        metrics=("accuracy", "f1"),
    ),
    Task(
        "qqp",
        hub=(GLUE, "qqp"),
        files=Tsv("QQP", {"question1": "question1", "question2": "question2", "is_duplicate": "label"}),
        format=fields("question1", "question2"),
        labels=("0", "1"),
        metrics=("accuracy", "f1"),
        split=carve,
    ),
    Task(
        "qnli",
        hub=(GLUE, "qnli"),
        files=Tsv("QNLI", {"index": "idx", "question": "question", "sentence": "sentence", "label": "label"}),
        format=fields("question", "sentence"),
        labels=ENTAILMENT,
        metrics=("accuracy",),
        split=carve,
    ),
    Task(
        "rte",
        hub=(GLUE, "rte"),
        files=Tsv("RTE", {"index": "idx", "sentence1": "sentence1", "sentence2": "sentence2", "label": "label"}),
        format=fields(*SENTENCES),
        labels=ENTAILMENT,
        metrics=("accuracy",),
    ),
    Task(
        "wnli",
        hub=(GLUE, "wnli"),
        files=Tsv("WNLI", {"index": "idx", "sentence1": "sentence1", "sentence2": "sentence2", "label": "label"}),
        format=fields(*SENTENCES),
        labels=("0", "1"),
        metrics=("accuracy",),
    ),
)

SUPERGLUE_TASKS = (
    Task(
        "boolq",
        hub=(SUPERGLUE, "boolq"),
        files=Jsonl("BoolQ", ("question", "passage")),
        format=fields("question", "passage"),
        labels=BOOLEAN,
        metrics=("accuracy",),
    ),
    Task(
        "cb",
        hub=(SUPERGLUE, "cb"),
        files=Jsonl("CB", ("premise", "hypothesis")),
        format=fields("premise", "hypothesis"),
        labels=("entailment", "contradiction", "neutral"),
        metrics=("accuracy", "macro_f1"),
    ),
    Task(
        "copa",
        hub=(SUPERGLUE, "copa"),
        files=Jsonl("COPA", ("premise", "question", "choice1", "choice2")),
        # The reference leaves out whether cause or effect is asked for; without it the task cannot be solved.
        format=fields("premise", "question", "choice1", "choice2"),
        labels=("0", "1"),
        metrics=("accuracy",),
    ),
    Task(
        "superglue-rte",
        hub=(SUPERGLUE, "rte"),
        files=Jsonl("RTE", ("premise", "hypothesis")),
        format=fields("premise", "hypothesis"),
        labels=ENTAILMENT,
        metrics=("accuracy",),
    ),
    Task(
        "wic",
        hub=(SUPERGLUE, "wic"),
        files=Jsonl("WiC", (*SENTENCES, "word")),
        format=fields(*SENTENCES, "word"),
        labels=BOOLEAN,
        metrics=("accuracy",),
    ),
)

TASKS: dict[str, Task] = {task.name: task for task in (*GLUE_TASKS, *SUPERGLUE_TASKS)}


def find_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        UserError: There is none; the message proposes the nearest name.
    """
    if name not in TASKS:
        known = ", ".join(TASKS)
        raise UserError(f"unknown task {name!r} (data.task); expected one of {known}{did_you_mean(name, TASKS)}")
    return TASKS[name]
