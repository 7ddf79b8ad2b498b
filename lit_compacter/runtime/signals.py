"""Handle SIGTERM, SIGUSR1 and Ctrl-C: end the run with one line that says what was saved.

This module has no slow imports, so `main.py` can install the handlers first.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from lit_compacter.runtime.rank import is_rank_zero

EXIT_RESUMABLE = 75  # the run was stopped and can be resumed: EX_TEMPFAIL of sysexits.h
EXIT_INTERRUPTED = 128 + signal.SIGINT  # as a shell reports Ctrl-C, so that a loop of runs ends too
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)  # SLURM, Kubernetes and spot instances; Ctrl-C


class Stopped(SystemExit):
    """Raised after a stop signal, once the run has saved its state, if any.

    Args:
        by: The signal.
        message: What was saved and how to resume.
    """

    def __init__(self, by: signal.Signals, message: str) -> None:
        code = EXIT_INTERRUPTED if by == signal.SIGINT else EXIT_RESUMABLE
        # Lightning kills rank 0 when a process that it launched exits with a nonzero code.
        super().__init__(code if is_rank_zero() else 0)
        self.message = f"stopped by {by.name}{message}"


def stop_at_once(number: int, frame: Any) -> None:
    """Signal handler for times when there is nothing to save."""
    raise Stopped(signal.Signals(number), "; what was written before is complete")


def set_stop_handler(handler: Callable[[int, Any], Any]) -> None:
    """Call `handler` on every stop signal. Does nothing outside the main thread, where Python forbids it."""
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            signal.signal(number, handler)


@contextlib.contextmanager
def handle_stop_signals() -> Iterator[None]:
    """Raise `Stopped` on a stop signal; rank 0 prints its message. Restores the caller's handlers at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        set_stop_handler(stop_at_once)
        yield
    except Stopped as stopped:
        if is_rank_zero():
            print(stopped.message, file=sys.stderr)
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
