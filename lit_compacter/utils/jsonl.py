"""Files with one JSON object per line."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lit_compacter.utils.atomic import atomic_write


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a file, replacing what was there."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    """Append one line to a log. It starts on a new line even if a killed process has left an incomplete one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(record).encode() + b"\n")


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a log, skipping incomplete lines; none if there is no file."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue
