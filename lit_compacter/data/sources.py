"""Rows from the hub, the benchmark's own files or the user's files, all in the hub's format."""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lit_compacter.data.files import File, find_file
from lit_compacter.data.readers import NumberedRows, RawRow, read_rows
from lit_compacter.errors import UserError
from lit_compacter.hub.repository import Repository, damaged_cache_advice, find_repository


@dataclass(frozen=True)
class Row:
    """One row of a task. Fields that the program adds are separate from the columns, so a column may have any name.

    Attributes:
        columns: Column → its value, for the columns that the task reads.
        label: As `Answer.parse_label` returns it; None if unknown.
        idx: The benchmark's own number for the row. The user's own rows are counted from 0.
        group: Rows of the same group belong together. Default: the row has its own group.
    """

    columns: Mapping[str, Any]
    label: Any
    idx: Any
    group: Hashable = None


class RowParser(Protocol):
    """What a source needs to know about a task."""

    @property
    def label(self) -> str:
        """The column with the label."""

    @property
    def idx(self) -> str | None:
        """The column with the benchmark's number of the row, if there is one."""

    @property
    def files(self) -> "Files":
        """The benchmark's own files, or the user's."""

    def row(self, raw: RawRow, idx: Any) -> Row:
        """Parse a row in the hub's form. Raises ValueError if a column is missing or not valid."""

    def from_hub(self, raw: RawRow) -> RawRow:
        """Convert the label of a row from the hub to the form used in files."""

    def absent(self, name: str, raw: RawRow) -> str:
        """The message for a missing column."""


@dataclass(frozen=True)
class Files:
    """A task's files in the benchmark's own layout, and how to convert their rows to the hub's form.

    Attributes:
        folder: The task's folder under the data directory.
        names: Official split → file name; None if the user has not given one.
        rename: Column or field in the file → its name on the hub.
        header: Column names of the splits whose file has no header line.
        drop_short: Skip rows that lack columns, as the hub does.
        unfold: Splits a JSON object into the hub's rows, if objects hold several.
    """

    folder: str
    names: Mapping[str, str | None]
    rename: Mapping[str, str] = field(default_factory=dict)
    header: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drop_short: bool = False
    unfold: Callable[[RawRow], Iterable[RawRow]] | None = None

    def path(self, data_dir: Path, split: str) -> File:
        """The file of an official split. Raises UserError if it is not given or does not exist."""
        name = self.names[split]
        if name is None:
            raise UserError(f"no {split} rows are given: name their file with --data.{split}_file")
        path = find_file(name, data_dir / self.folder)
        if isinstance(path, Path) and not path.exists():
            hint = f"; --data.data_dir must be the folder that holds the benchmark's own {self.folder}/"
            raise UserError(f"no file {path.absolute()}{hint if self.folder else ''}")
        return path

    def read(self, path: File, split: str) -> NumberedRows:
        """The file's rows in the hub's form."""
        table: dict[str, Any] = {"header": self.header[split]} if split in self.header else {}
        for line, raw in read_rows(path, **table | ({"drop_short": True} if self.drop_short else {})):
            try:
                for flat in self.unfold(raw) if self.unfold else (raw,):
                    yield line, {self.rename.get(name, name): value for name, value in flat.items()}
            except KeyError as error:
                raise UserError(f"{path}:{line}: no field {error}") from error
            except (TypeError, AttributeError) as error:
                raise UserError(f"{path}:{line}: not in the benchmark's format ({error})") from error


def tsv(folder: str, names: Mapping[str, str] | None = None, **options: Any) -> Files:
    """GLUE's layout. An `index` column has the row's number; without one, rows are counted from 0."""
    options["rename"] = {"index": "idx"} | options.get("rename", {})
    return Files(folder, names or {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}, **options)


def jsonl(folder: str, names: Mapping[str, str] | None = None, **options: Any) -> Files:
    """SuperGLUE's layout: one JSON object per line."""
    return Files(folder, names or {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}, **options)


@dataclass(frozen=True)
class Source:
    """Where the rows of an official split come from.

    Attributes:
        split: The official split, or the name of the user's file.
        files: The files that hold the rows.
        rows: Yields the rows once. Raises UserError with file and line for a row that is not valid.
    """

    split: str
    files: tuple[File, ...]
    rows: Iterator[Row]


def from_files(task: RowParser, split: str, data_dir: Path) -> Source:
    """An official split from files. Raises UserError if they are not given or do not exist."""
    path = task.files.path(data_dir, split)
    return Source(split, (path,), _labelled(task, task.files.read(path, split), split, path, task.idx))


def from_file(task: RowParser, path: File) -> Source:
    """Rows with the hub's columns from any file, numbered from 0. Other columns are ignored."""
    return Source(path.name, (path,), _labelled(task, read_rows(path), "test", path))


@dataclass(frozen=True)
class HubConfiguration:
    """A configuration of a data set on the hub.

    Attributes:
        repository: Such as `nyu-mll/glue`.
        name: Such as `rte`, which is also the folder of its files, `rte/train-….parquet` and so on.
        unlabeled: Splits whose labels are left out, because the benchmark's own files do not have them.
    """

    repository: str
    name: str
    unlabeled: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.repository} ({self.name})"

    def find(self, revision: str | None) -> Repository:
        """Its repository at a branch, tag or commit; None is the main branch."""
        return find_repository("dataset", self.repository, revision)

    def download(self, revision: str | None) -> Path:
        """Download the rows of all splits, unless they are cached, and return the repository's folder."""
        return self.find(revision).download([[f"{self.name}/*"]])


def from_hub(task: RowParser, source: HubConfiguration, split: str, folder: Path) -> Source:
    """An official split from the hub.

    Args:
        task: Parses the rows.
        source: Repository and configuration.
        split: The official split.
        folder: The folder of the repository in the cache.

    Raises:
        UserError: The repository has no such split.
    """
    files = tuple(sorted(folder.glob(f"{source.name}/{split}-*.parquet")))
    if not files:
        raise UserError(f"{source} has no split {split} in {folder}")
    raws = enumerate(_hub_rows(task, files, folder, split in source.unlabeled), start=1)
    return Source(split, files, _labelled(task, raws, split, f"{source}, {split}", task.idx))


def _hub_rows(task: RowParser, files: Iterable[Path], folder: Path, unlabeled: bool) -> Iterator[RawRow]:
    unknown = {task.label: None} if unlabeled else {}
    try:
        for path in files:
            for _, raw in read_rows(path):
                yield task.from_hub(raw) | unknown
    except UserError as error:
        raise UserError(f"{error}; {damaged_cache_advice(folder)}") from error


def _labelled(
    task: RowParser, raws: NumberedRows, split: str, where: File | str, idx_column: str | None = None
) -> Iterator[Row]:
    empty = True
    for number, (line, raw) in enumerate(raws):
        if not raw and task.files.drop_short:  # skipped, but counted
            continue
        empty = False
        try:
            row = task.row(raw, number if idx_column is None else _idx(raw.get(idx_column, number)))
            if row.label is None and not split.startswith("test"):
                raise ValueError(f"{task.label} is empty" if task.label in raw else task.absent(task.label, raw))
            _check_characters(row)
        except ValueError as error:
            raise UserError(f"{where}:{line}: {error}") from error
        yield row
    if empty:
        raise UserError(f"{where} holds no rows")


def _check_characters(row: Row) -> None:
    """Raise ValueError if a text has half of a surrogate pair, which JSON can express and UTF-8 cannot."""
    try:
        json.dumps([*row.columns.values(), row.label], ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!a} is half of a character; remove it") from error


def _idx(value: Any) -> Any:
    """Parse a row's number: an int, or its digits in a table. MultiRC and ReCoRD have a dict of several ints."""
    if isinstance(value, dict):
        return {name: _idx(part) for name, part in value.items()}
    if isinstance(value, bool) or not str(value).isdecimal():
        raise ValueError(f"index {value!r} is not a number")
    return int(value)
