"""Files that are written whole or not at all: nobody finds half of one under its name."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to: at the end it is renamed to it, in place of what was there.

    Where the end is not reached it is removed; for what a killed process leaves there is `remove_unfinished`.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes have left in a folder that is this process's alone."""
    for temporary in folder.glob(".*.tmp"):
        temporary.unlink()
