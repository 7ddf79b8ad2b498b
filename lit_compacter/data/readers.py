"""Read the rows of a file with their line numbers, so that every error names file and line."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from lit_compacter.data.files import File, reading
from lit_compacter.errors import UserError, first_duplicate, first_line

RawRow: TypeAlias = dict[str, Any]  # a row as the file has it
NumberedRows: TypeAlias = Iterator[tuple[int, RawRow]]


def read_rows(path: File, **table: Any) -> NumberedRows:
    """The rows of a .csv, .tsv, .jsonl or .parquet file.

    Args:
        path: The file, in UTF-8 with or without a byte-order mark. A .csv may quote its fields; a .tsv does not, so a
            quote is text.
        table: For .csv and .tsv: `header`, the column names of a file without a header line; `drop_short`, whether to
            yield an empty row for one that lacks columns, instead of raising.

    Yields:
        Line number (row number in a .parquet file), from 1, and the row.

    Raises:
        UserError: The file is missing, of another type, not UTF-8, or a row is malformed.
    """
    if path.suffix not in READERS:
        raise UserError(f"{path} is of an unknown type; expected one of {', '.join(READERS)}")
    with reading(path):
        yield from READERS[path.suffix](path, **table)


def _lines(path: File) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}:{number}: not UTF-8 text ({error.reason} at byte {error.start} of the line); "
                    "convert the file to UTF-8"
                ) from error


def _read_csv(path: File, **table: Any) -> NumberedRows:
    csv.field_size_limit(sys.maxsize)
    lines = csv.reader(_lines(path), strict=True)
    try:
        yield from _rows(
            ((lines.line_num, values) for values in lines), path, "; quote a field that holds a comma", **table
        )
    except csv.Error as error:
        raise UserError(f"{path}:{lines.line_num}: {error}") from error


def _read_tsv(path: File, **table: Any) -> NumberedRows:
    lines = (line.rstrip("\r\n") for line in _lines(path))
    yield from _rows(
        ((number, line.split("\t") if line else []) for number, line in enumerate(lines, 1)), path, **table
    )


def _rows(
    lines: Iterator[tuple[int, list[str]]],
    path: File,
    hint: str = "",
    header: Sequence[str] = (),
    drop_short: bool = False,
) -> NumberedRows:
    names = tuple(header) or next(lines, (0, []))[1]
    if twice := first_duplicate([name for name in names if name]):  # spreadsheets add unnamed columns
        raise UserError(f"{path}:1: column {twice!r} occurs twice; rename one")
    for number, values in lines:
        if len(values) == len(names):
            yield number, dict(zip(names, values, strict=True))
        elif values and len(values) < len(names) and drop_short:
            yield number, {}
        elif values:  # no empty line
            raise UserError(f"{path}:{number}: expected {len(names)} columns, found {len(values)}{hint}")


def _read_jsonl(path: File) -> NumberedRows:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_unique, parse_constant=_to_null)
        except ValueError as error:
            told = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise UserError(f"{path}:{number}: not JSON ({told}); expected one object per line") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: expected a JSON object, in braces")
        yield number, row


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError(f"{first_duplicate([name for name, _ in pairs])!r} occurs twice")
    return row


def _to_null(constant: str) -> None:
    """Read NaN and the infinities, which Python writes and JSON does not have, as null."""


def _read_parquet(path: File) -> NumberedRows:
    import pyarrow.parquet  # slow to import, and no other file needs it

    try:
        with path.open("rb") as file:
            batches = pyarrow.parquet.ParquetFile(file).iter_batches()
            yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)
    except pyarrow.ArrowException as error:
        raise UserError(f"{path} is not a parquet file: {first_line(error)}") from error


READERS: dict[str, Callable[..., NumberedRows]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
