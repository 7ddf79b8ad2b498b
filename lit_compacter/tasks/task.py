"""A task: converts a row of the benchmark to a pair of texts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lit_compacter.data.readers import RawRow
from lit_compacter.data.sources import Files, HubConfiguration, Row
from lit_compacter.tasks.answers import Answer, plain
from lit_compacter.tasks.metrics import check_metrics
from lit_compacter.tasks.splits import Splitter, halve_validation, official
from lit_compacter.tasks.templates import Template

# Column types, as they are named in messages, and their checks.
TEXT, TEXTS, INDEX, SCALAR = "a text", "a list of texts", "a whole number, 0 or more", "a text or a number"
IS: dict[str, Callable[[Any], bool]] = {
    TEXT: lambda value: isinstance(value, str),
    TEXTS: lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    INDEX: lambda value: not isinstance(value, bool) and str(value).isdecimal(),  # "7" in a table
    SCALAR: lambda value: isinstance(value, str | int | float),
}


@dataclass(frozen=True)
class Task:
    """One task as text-to-text (paper, section 5.1).

    Attributes:
        name: The value of `--data.task`.
        template: The input text.
        answer: The kind of answer.
        metrics: Names in `metrics.METRICS` for that kind of answer; `score` is their mean.
        files: The benchmark's own files.
        hub: Repository and configuration on the Hugging Face hub, if there is one.
        columns: Columns of the hub's rows to read, and their types. Default: the template's, each a text.
        label: The column with the label.
        idx: The column with the benchmark's number of the row. Default: rows are counted from 0.
        prepare: Makes the columns that the template names, and `group` if rows belong together.
        split: Makes train, validation and test as in the paper.
        official_split: Makes them as in the benchmark.
        leaderboard: Unlabeled official split → name of its file for the benchmark's leaderboard.
        trained_on: For a diagnostic set: the tasks that its models may be trained on, and whose format it takes.
        prefix: The text that `data.add_task_name` puts before the input. Default: the name.
        hint: Added to messages about a missing column.
    """

    name: str
    template: Template
    answer: Answer
    metrics: tuple[str, ...]
    files: Files
    hub: HubConfiguration | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    label: str = "label"
    idx: str | None = None
    prepare: Callable[[Row], Row] = lambda row: row
    split: Splitter = halve_validation
    official_split: Splitter = official
    leaderboard: Mapping[str, str] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
    prefix: str = ""
    hint: str = ""

    def __post_init__(self) -> None:
        check_metrics(self.answer, self.metrics)
        object.__setattr__(self, "columns", self.columns or dict.fromkeys(self.template.columns, TEXT))
        object.__setattr__(self, "prefix", self.prefix or self.name)

    def row(self, raw: RawRow, idx: Any) -> Row:
        """Parse a row in the hub's form. Only `columns` and `label` of `raw` are read.

        Raises:
            ValueError: A column is missing or of another type, or the label is not valid.
        """
        for name, kind in self.columns.items():
            if name not in raw:
                raise ValueError(self.absent(name, raw))
            if not IS[kind](raw[name]):
                raise ValueError(f"{name} is {plain(raw[name])}; expected {kind}")
        label = raw.get(self.label)
        try:
            known = self.answer.parse_label(label)
        except ValueError as error:
            raise ValueError(f"{self.label} is {plain(label)}; expected {error}") from error
        return self.prepare(Row({name: raw[name] for name in self.columns}, known, idx))

    def absent(self, name: str, raw: RawRow) -> str:
        """The message for a missing column."""
        return f"no field {name!r}; found {', '.join(map(repr, raw)) or 'no fields'}{self.hint}"

    def from_hub(self, raw: RawRow) -> RawRow:
        """Convert the label of a row from the hub to the form used in files."""
        return raw | {self.label: self.answer.parse_hub_label(raw[self.label])}

    def segments(self, row: Row, add_task_name: bool = False) -> list[str]:
        """The model's input: literals and column texts in turn."""
        first, *others = self.template.segments(row.columns)
        return [f"{self.prefix} {first}" if add_task_name else first, *others]

    def source(self, row: Row, add_task_name: bool = False) -> str:
        """The model's input text."""
        return "".join(self.segments(row, add_task_name))

    def targets(self, row: Row) -> list[str]:
        """All correct target texts; none if the label is unknown."""
        return self.answer.target_texts(row.label)

    def in_form_of(self, other: "Task") -> "Task":
        """The diagnostic set in the format of the task that the model was trained on."""
        return replace(self, template=other.template.over(self.template.columns), prefix=other.prefix)
