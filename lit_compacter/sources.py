"""Where rows come from: the hub, or the benchmark's own files. Either way the same rows come out.

A row is a dict of the task's text fields plus `label` (index of the label word, −1 where unknown) and `idx` (the
benchmark's own number for the row).
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from datasets import Dataset, load_dataset

from lit_compacter.errors import UserError, first_line

Row: TypeAlias = dict[str, Any]


class Files(Protocol):
    """How a benchmark lays out a task: one file per official split (train, validation, test)."""

    def path(self, data_dir: Path, split: str) -> Path:
        """The file of an official split."""

    def read(self, path: Path, split: str, labels: Sequence[str]) -> Iterator[Row]:
        """Its rows, in order. Raises UserError with file and line for anything that is not as it should be."""


@dataclass(frozen=True)
class Tsv:
    """GLUE's layout: tab-separated, unquoted, UTF-8 with or without a byte-order mark.

    Attributes:
        folder: The task's folder under the data directory.
        columns: Official column name → name in the row. A missing `idx` column is the row's number, a missing
            `label` column is right for the test split only.
        header: Column names of the splits whose file has no header line.
    """

    folder: str
    columns: dict[str, str]
    header: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def path(self, data_dir: Path, split: str) -> Path:
        return data_dir / self.folder / {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}[split]

    def read(self, path: Path, split: str, labels: Sequence[str]) -> Iterator[Row]:
        # Quoting is off: bare quotes are text. utf-8-sig drops a byte-order mark where there is one.
        with open_text(path) as file:
            lines = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            names = self.header.get(split) or tuple(next(lines, ()))
            needed = {official: name for official, name in self.columns.items() if official in names}
            optional = {"idx"} | ({"label"} if split == "test" else set())
            for official, name in self.columns.items():
                if official not in names and name not in optional:
                    raise UserError(f"{path}:1: no column {official!r}; the header has {', '.join(map(repr, names))}")
            for number, values in enumerate(checked(lines, path)):
                if len(values) != len(names):
                    raise UserError(f"{path}:{lines.line_num}: expected {len(names)} columns, found {len(values)}")
                given = dict(zip(names, values, strict=True))
                row: Row = {name: given[column] for column, name in needed.items()}
                if not str(row.setdefault("idx", number)).isdecimal():
                    raise UserError(f"{path}:{lines.line_num}: index {row['idx']!r} is not a number")
                row["idx"] = int(row["idx"])
                row["label"] = label_index(row.get("label"), labels, path, lines.line_num)
                yield row


@dataclass(frozen=True)
class Jsonl:
    """SuperGLUE's layout: one JSON object per line with the task's fields, `idx` and, where known, `label`."""

    folder: str
    fields: tuple[str, ...]

    def path(self, data_dir: Path, split: str) -> Path:
        return data_dir / self.folder / {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}[split]

    def read(self, path: Path, split: str, labels: Sequence[str]) -> Iterator[Row]:
        with open_text(path) as file:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                try:
                    official = json.loads(text)
                except json.JSONDecodeError as error:
                    raise UserError(f"{path}:{line}: not a line of JSON ({error})") from error
                needed: dict[str, Any] = dict.fromkeys(self.fields, str) | {"idx": int}
                for name, kind in (needed if split == "test" else needed | {"label": LABEL}).items():
                    if not isinstance(official, dict) or name not in official:
                        raise UserError(f"{path}:{line}: no field {name!r}; expected {', '.join(needed)}")
                    if not isinstance(official[name], kind):
                        value = json.dumps(official[name], ensure_ascii=False)
                        raise UserError(f"{path}:{line}: {name} is {value}; expected {TYPES[kind]}")
                row: Row = {name: official[name] for name in (*self.fields, "idx")}
                label = official.get("label")
                word = label if label is None or isinstance(label, str) else json.dumps(label)  # true, 1
                row["label"] = label_index(word, labels, path, line)
                yield row


LABEL = (str, bool, int)
# What a JSON value must be, for messages.
TYPES = {str: "a text", int: "a whole number", LABEL: "a label"}


def checked(lines: Any, path: Path) -> Iterator[list[str]]:
    """The lines of a csv reader, whose own errors lack the file's name."""
    try:
        yield from lines
    except csv.Error as error:
        raise UserError(f"{path}:{lines.line_num}: {error}") from error


def open_text(path: Path) -> Any:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError as error:
        raise UserError(
            f"no file {path.absolute()}; --data.data_dir must be the folder that holds the benchmark's own "
            f"{path.parent.name}/"
        ) from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def label_index(word: str | None, labels: Sequence[str], path: Path, line: int) -> int:
    """The label's index, −1 where the file has none."""
    if word is None:
        return -1
    if word not in labels:
        raise UserError(f"{path}:{line}: unknown label {word!r}; expected one of {', '.join(labels)}")
    return labels.index(word)


def from_files(files: Files, split: str, labels: Sequence[str], data_dir: Path) -> Dataset:
    """An official split from the benchmark's own files."""
    path = files.path(data_dir, split)
    try:
        rows = list(files.read(path, split, labels))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; convert it to UTF-8"
        ) from error
    if not rows:
        raise UserError(f"{path} holds no rows")
    return Dataset.from_list(rows)


def from_hub(repository: str, configuration: str, split: str) -> Dataset:
    """An official split from the hub, or from a local folder in a hub repository's layout."""
    try:
        return load_dataset(repository, configuration, split=split)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"cannot load {repository} ({configuration}) from the hub: {first_line(error)}; "
            "offline, give the benchmark's own files and a model folder: --data.data_dir DIR --model.model_name DIR"
        ) from error
