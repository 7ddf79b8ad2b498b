"""What a user is told: errors that the user can fix, warnings that concern results, and helpers for their messages."""

import difflib
import errno
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)  # the errno of an OSError


class UserError(ValueError):
    """Something in the command line, a config, a data file, a model or a checkpoint is wrong.

    The message is one line: what was wrong, what was expected, what to do. `main.py` prints it without a traceback and
    exits with code 2 (`--debug` shows the traceback). Any other exception is a bug in this program.
    """


class RunWarning(UserWarning):
    """Something that readers of a run's results should know. It is kept with them; studies and reports repeat it.

    Args:
        summary: What is kept. Equal for runs that differ in nothing that it tells.
        more: What is only printed: examples and advice.
    """

    def __init__(self, summary: str, more: str = "") -> None:
        super().__init__(f"{summary}{more}")
        self.summary = summary


class LostConnection(UserError):
    """Another process of the run cannot be reached. The exit code is 1, because the same command may succeed."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the closest known name, or an empty string if none is close."""
    close = difflib.get_close_matches(given, [name for name in known if name != given], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_duplicate(names: Sequence[T]) -> T | None:
    """The first name that occurs twice, or None."""
    return next((name for index, name in enumerate(names) if name in names[:index]), None)


def first_line(error: BaseException) -> str:
    """The message of another library's exception on one line, without a final period."""
    first, *others = str(error).strip().splitlines() or [type(error).__name__]
    return (f"{first} {others[0].strip()}" if others and first.endswith(":") else first).rstrip(".")
