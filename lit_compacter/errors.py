"""The one exception that means: the user can mend this; and what its messages are made of."""

import contextlib
import difflib
import errno
import re
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning_fabric
import pytorch_lightning
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

GRACE = 3  # seconds that a process other than the first waits with its line
LIGHTNING = (*pytorch_lightning.__path__, *lightning_fabric.__path__)


class UserError(ValueError):
    """Something in the command line, a config, a data file or a checkpoint is wrong.

    The message is one line that says what was wrong, what was expected and what to do. `main.py` prints it without a
    traceback and exits with code 2 (`--debug` shows the traceback); every other exception is a defect of ours.
    """


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest other known name, or nothing where none is near."""
    near = difflib.get_close_matches(given, [name for name in known if name != given], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def first_twice(names: Sequence[Any]) -> Any:
    """The first of the names that is there twice, None where none is."""
    return next((name for place, name in enumerate(names) if name in names[:place]), None)


def first_line(error: BaseException) -> str:
    """What another library's exception says, on one line and without a full stop."""
    first, *others = str(error).strip().splitlines() or [type(error).__name__]
    return (f"{first} {others[0].strip()}" if others and first.endswith(":") else first).rstrip(".")


def cannot_load(part: str, name: str, error: BaseException) -> UserError:
    """Of `part` of the model `name`, a folder or a hub's name, which another library stumbles over."""
    files = "config.json, model.safetensors and the tokenizer's files"
    advice = (
        f"expected a folder with {files}, as they were published"
        if Path(name).is_dir()
        else f"offline, give a folder that holds {files}: --model.model_name DIR"
    )
    return UserError(f"cannot load {part}the model {name!r}: {first_line(error)}; {advice}")


def lost_connection(error: BaseException) -> bool:
    """Has another process of this run ended? Of gloo torch raises no exception of its own."""
    gloo = isinstance(error, RuntimeError) and re.search("Connection (closed|reset) by peer|Broken pipe", str(error))
    return bool(gloo) or isinstance(error, torch.distributed.DistError)


@contextlib.contextmanager
def answered(first: bool, debug: bool) -> Iterator[None]:
    """A user's mistake is one line on stderr and exit code 2, the end of another process one and exit code 1.

    Args:
        first: Is this the first process? Any other waits with its line, since where the first one stumbles over the
            same it ends the others meanwhile.
        debug: Let exceptions pass.
    """
    try:
        yield
    except Exception as error:
        told = _answer(error)
        if debug or told is None:
            raise
        if not first:
            time.sleep(GRACE)
        print(f"error: {' '.join(told.split())}", file=sys.stderr)
        sys.exit(1 if lost_connection(error) else 2)


def _answer(error: Exception) -> str | None:
    """What there is to say to a user; None for a defect of ours."""
    if lost_connection(error):
        return "another process of this run has ended; what it said last says why"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; give another path"
    if isinstance(error, UserError | MisconfigurationException | ModuleNotFoundError):
        return str(error)
    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    if isinstance(error, ValueError | RuntimeError) and raised_in.startswith(LIGHTNING):  # it checks options late
        return str(error)
    return None


@contextlib.contextmanager
def lack_of_resources(batch_size: int, max_source_length: int) -> Iterator[None]:
    """Raise UserError in place of what Python and torch raise where memory or disk are used up."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        on_a_cpu = "can't allocate memory" in str(error)  # torch has no exception of its own for it
        if not (on_a_cpu or isinstance(error, torch.OutOfMemoryError | MemoryError)):
            raise
        raise UserError(
            f"out of memory with data.batch_size {batch_size} and data.max_source_length {max_source_length}: "
            "lower one; in training trainer.accumulate_grad_batches makes up for a smaller batch"
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"the disk is full ({error}); make room, then start again (fit: --ckpt_path last)") from error
