"""The one exception that means: the user can mend this; and what its messages are made of."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something in the command line, a config, a data file or a checkpoint is wrong.

    The message is one line that says what was wrong, what was expected and what to do. `main.py` prints it without a
    traceback and exits with code 2 (`--debug` shows the traceback); every other exception is a defect of ours.
    """


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, or nothing where none is near."""
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def first_line(error: BaseException) -> str:
    """What another library's exception says, on one line and without a full stop."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
