"""Rows as Arrow files, which are mapped from disk: memory does not grow with the number of rows."""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from huggingface_hub.utils import tqdm

from lit_compacter.data.files import File, reading
from lit_compacter.data.sources import Row, Source
from lit_compacter.errors import DISK_FULL
from lit_compacter.utils.atomic import atomic_write

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

COLUMNS = ("segments", "targets", "idx", "group")
BATCH_SIZE = 1000  # rows that are written at once
PARSERS = ("data", "tasks")  # rooms of this package on whose code the rows depend


class PairMaker(Protocol):
    """What makes a pair of texts of a row: a task."""

    def segments(self, row: Row, add_task_name: bool = False) -> list[str]:
        """The input: literals and fields in turn."""

    def targets(self, row: Row) -> list[str]:
        """All correct target texts; none if the label is unknown."""


@dataclass(frozen=True)
class Rows:
    """Rows of an official split, chosen and ordered by their numbers.

    Attributes:
        table: All rows of the official split, as `load_rows` returns them.
        key: Identifies the content of `table`.
        numbers: Numbers of the chosen rows.
    """

    table: "datasets.Dataset"
    key: str
    numbers: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, places: slice | npt.NDArray[np.int64]) -> "Rows":
        return replace(self, numbers=self.numbers[places])

    @property
    def chosen(self) -> "datasets.Dataset":
        """The chosen rows."""
        first, is_consecutive = int(self.numbers[0]), bool((np.diff(self.numbers) == 1).all())
        # datasets compares an array with a range value by value.
        return self.table.select(range(first, first + len(self)) if is_consecutive else self.numbers)

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Each row's group, by a number. A row without one is a group of its own."""
        groups = self.table.data.column("group")
        return self.numbers if groups.null_count else groups.to_numpy()[self.numbers]

    @property
    def num_unlabeled(self) -> int:
        """Number of chosen rows that have no target."""
        import pyarrow.compute

        counts = pyarrow.compute.list_value_length(self.table.data.column("targets")).to_numpy()
        return int(np.count_nonzero(counts[self.numbers] == 0))


def load_rows(source: Source, task: PairMaker, add_task_name: bool, cache_dir: str | None = None) -> Rows:
    """All rows of an official split as pairs of texts, from the cache or else from the source.

    Args:
        source: Where the rows come from.
        task: Makes the texts.
        add_task_name: Whether inputs begin with the task's name.
        cache_dir: Folder of the cache. Default: `lit_compacter` in the cache of the datasets library.

    Returns:
        Rows with the columns `segments`, `targets`, `idx` and `group`. A group is numbered by its first row's place
        among the groups; it is null if rows have none.

    Raises:
        UserError: A row is not valid.
    """
    from datasets.fingerprint import Hasher  # half a second, which --help and a wrong option need not wait for

    files = [(path.suffix, _file_digest(path)) for path in source.files]  # the suffix decides how it is read
    content = json.dumps([_code_digest(), Hasher.hash(task), add_task_name, source.split, files])
    key = hashlib.sha256(content.encode()).hexdigest()
    pairs = make_pairs(source.rows, task, add_task_name)
    table = _cached_table(cache_folder(cache_dir) / f"rows-{key}.arrow", pairs, source.split)
    return Rows(table, key, np.arange(len(table)))


def _cached_table(path: Path, pairs: Iterator[dict[str, Any]], split: str) -> "datasets.Dataset":
    """The table in the file at `path`, which is made of pairs if it does not exist; in memory if it cannot be made."""
    import datasets
    import pyarrow as pa

    if not path.exists():
        if not is_writable(path.parent):
            buffer = pa.BufferOutputStream()
            _write(buffer, pairs, split)
            return datasets.Dataset.from_buffer(buffer.getvalue())
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            _write(file, pairs, split)
    return datasets.Dataset.from_file(str(path))


def make_pairs(rows: Iterable[Row], task: PairMaker, add_task_name: bool) -> Iterator[dict[str, Any]]:
    """Make a pair of texts of each row: its values for `COLUMNS`."""
    groups: dict[Any, int] = {}
    for row in rows:
        group = None if row.group is None else groups.setdefault(row.group, len(groups))
        values = (task.segments(row, add_task_name), task.targets(row), row.idx, group)
        yield dict(zip(COLUMNS, values, strict=True))


def _write(sink: "IO[bytes] | pa.NativeFile", pairs: Iterator[dict[str, Any]], split: str) -> None:
    import pyarrow as pa

    first = next(pairs)  # a source has at least one
    texts = pa.list_(pa.string())
    idx = pa.infer_type([first["idx"]])  # an int, or a dict of several
    schema = pa.schema(zip(COLUMNS, (texts, texts, idx, pa.int64()), strict=True))
    pairs = chain([first], pairs)
    with pa.ipc.new_stream(sink, schema) as writer, tqdm(desc=f"reading {split}", unit=" rows") as progress:
        while batch := list(islice(pairs, BATCH_SIZE)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
            progress.update(len(batch))


def _file_digest(path: File) -> str:
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _code_digest() -> str:
    """A digest of the code that parses rows, so that no row is from another version of it."""
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(path for room in PARSERS for path in (package / room).glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def cache_folder(cache_dir: str | None) -> Path:
    """The folder of rows and tokens."""
    import datasets

    return Path(cache_dir or Path(datasets.config.HF_DATASETS_CACHE) / "lit_compacter")


def is_writable(folder: Path) -> bool:
    """Whether files can be written to a folder. Creates the folder if needed; warns if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return True
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        warnings.warn(
            f"cannot write to {folder} ({error.strerror}): tokenized rows are kept in memory, and each process "
            "tokenizes them again; give another folder with --data.cache_dir",
            stacklevel=1,  # one place for all callers, so that Python prints it once
        )
        return False
