"""Atomic file writes: a file is either complete or absent."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; at the end rename it to `path`, replacing what was there.

    On an exception the temporary file is removed. `remove_unfinished` removes what a killed process has left.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove temporary files of killed processes. Only for a folder that no other process writes to."""
    for temporary in folder.glob(".*.tmp"):
        temporary.unlink()
