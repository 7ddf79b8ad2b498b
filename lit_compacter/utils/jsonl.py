"""Logs of one JSON object a line, to which runs append."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Append a line, on a new one even where a killed process has left a part of a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(record).encode() + b"\n")


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a log, without parts of lines; none where there is no such file."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue
