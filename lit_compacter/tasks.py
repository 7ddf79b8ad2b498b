"""Tasks as declarations: adding one is one entry in `TASKS` and one YAML in `configs/`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.sources import Files, Jsonl, Row, Tsv
from lit_compacter.splits import Split, halve

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
        labels: Label words as the official files spell them; the target text is the word's index.
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

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "rte",
            hub=(GLUE, "rte"),
            files=Tsv("RTE", {"index": "idx", "sentence1": "sentence1", "sentence2": "sentence2", "label": "label"}),
            format=fields("sentence1", "sentence2"),
            labels=ENTAILMENT,
            metrics=("accuracy",),
        ),
        Task(
            "mrpc",
            hub=(GLUE, "mrpc"),
            files=Tsv("MRPC", {"#1 String": "sentence1", "#2 String": "sentence2", "Quality": "label"}),
            format=fields("sentence1", "sentence2"),
            labels=("0", "1"),
            metrics=("accuracy", "f1"),
        ),
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
            "superglue-rte",
            hub=(SUPERGLUE, "rte"),
            files=Jsonl("RTE", ("premise", "hypothesis")),
            format=fields("premise", "hypothesis"),
            labels=ENTAILMENT,
            metrics=("accuracy",),
        ),
    )
}


def find_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        UserError: There is none; the message proposes the nearest name.
    """
    if name not in TASKS:
        known = ", ".join(TASKS)
        raise UserError(f"unknown task {name!r} (data.task); expected one of {known}{did_you_mean(name, TASKS)}")
    return TASKS[name]
