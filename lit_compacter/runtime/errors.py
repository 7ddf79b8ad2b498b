"""Report user errors as one line on stderr. This module has no slow imports: torch is needed for other errors only."""

import contextlib
import sys
import time
from collections.abc import Iterator

from lit_compacter.errors import DISK_FULL, LostConnection, UserError, first_line
from lit_compacter.runtime.command import command_name
from lit_compacter.runtime.rank import is_rank_zero

TRACKERS = ("comet_ml", "mlflow", "wandb")  # whose errors are about accounts, servers and what they accept
REPORT_DELAY_S = 3  # other ranks wait, so that rank 0 can end them before they report the same error again


@contextlib.contextmanager
def report_user_errors(debug: bool = False) -> Iterator[None]:
    """Print a user error as one line on stderr and exit with code 2, or with code 1 if another process is lost.

    Args:
        debug: Re-raise the exception, with its traceback.
    """
    try:
        yield
    except Exception as error:
        message = _message(error)
        if debug or message is None:
            raise
        if not (is_rank_zero() or isinstance(error, LostConnection)):
            time.sleep(REPORT_DELAY_S)
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(1 if isinstance(error, LostConnection) else 2)


def _message(error: Exception) -> str | None:
    """The line for the user; None for a bug in this program."""
    if isinstance(error, UserError | ModuleNotFoundError):
        return str(error)
    if (package := type(error).__module__.partition(".")[0]) in TRACKERS:
        return f"trainer.logger: {package}: {first_line(error)}; --debug shows where it comes from"
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    if isinstance(error, MisconfigurationException):
        return str(error)
    if full := next((e for e in _with_causes(error) if isinstance(e, OSError) and e.errno in DISK_FULL), None):
        return f"the disk is full ({full}); free some space and start again (a fit resumes with --ckpt_path last)"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; give another path"
    return None


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes. A failed writer may raise a different error when it is closed."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def translate_resource_errors(batch_size: int, max_source_length: int) -> Iterator[None]:
    """Raise UserError when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        import torch

        on_cpu = "can't allocate memory" in str(error)  # torch has no exception class for it
        if not (on_cpu or isinstance(error, torch.OutOfMemoryError | MemoryError)):
            raise
        raise UserError(
            f"out of memory with data.batch_size {batch_size} and data.max_source_length {max_source_length}: "
            "lower one (trainer.accumulate_grad_batches compensates for a smaller batch), set "
            "--model.gradient_checkpointing true, or use a smaller --model.model_name; "
            f"{command_name()} plan with the same options shows what fits"
        ) from error
