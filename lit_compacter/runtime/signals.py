"""What SIGTERM, SIGUSR1 and Ctrl-C do: a run ends in one line, which says what it has saved.

It imports nothing that takes long, so that `main.py` can begin with it.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from lit_compacter.runtime.rank import is_first_process

STOPPED = 75  # exit code of a run that was told to stop and can go on: sysexits' EX_TEMPFAIL
INTERRUPTED = 128 + signal.SIGINT  # a shell's, after Ctrl-C: a loop of runs must end too
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)  # two of SLURM, Kubernetes and spot instances; Ctrl-C
PATIENCE = 10  # seconds that a process has to end by itself


class Stopped(SystemExit):
    """The run was told to stop, and has done what was to be done before.

    Args:
        by: The signal.
        told: What of the run is left, and how it goes on.
    """

    def __init__(self, by: signal.Signals, told: str) -> None:
        super().__init__(INTERRUPTED if by == signal.SIGINT else STOPPED)
        self.message = f"stopped by {by.name}{told}"


HEARD = threading.Event()  # has Python called a handler?
BEFORE_A_SUDDEN_END: list[Callable[[], None]] = []  # called where the process is ended while it hears nothing


def stop_at_once(number: int, frame: Any) -> None:
    """Signal handler where nothing has to be saved."""
    HEARD.set()
    raise _stopped_at_once(number)


def _stopped_at_once(number: int) -> Stopped:
    return Stopped(signal.Signals(number), "; what was written before is whole")


def on_signal(handler: Callable[[int, Any], Any]) -> None:
    """Call `handler`, which sets HEARD, when the process is told to stop; Python allows it in the main thread alone."""
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            signal.signal(number, handler)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within, a signal to stop raises Stopped; the first process prints its line."""
    if threading.current_thread() is not threading.main_thread():  # signals are another's to hear
        yield
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    arrived, arrives = os.pipe()
    os.set_blocking(arrives, False)
    HEARD.clear()
    BEFORE_A_SUDDEN_END.clear()
    over = threading.Event()
    threading.Thread(target=_end_a_deaf_process, args=(arrived, over), daemon=True).start()
    descriptor = signal.set_wakeup_fd(arrives, warn_on_full_buffer=False)
    try:
        on_signal(stop_at_once)
        yield
    except Stopped as stopped:
        if is_first_process():
            print(stopped.message, file=sys.stderr)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor)
        over.set()
        os.close(arrives)


def _end_a_deaf_process(arrived: int, over: threading.Event) -> None:
    """End the process that is to stop at once and waits in C++, say for other processes, where Python hears nothing."""
    with open(arrived, "rb", buffering=0) as signals:
        while byte := signals.read(1):
            if (number := byte[0]) not in STOP_SIGNALS:
                continue
            if not over.wait(PATIENCE) and signal.getsignal(number) is stop_at_once and not HEARD.is_set():
                stopped = _stopped_at_once(number)
                if is_first_process():
                    print(stopped.message, file=sys.stderr, flush=True)
                for call in BEFORE_A_SUDDEN_END:
                    call()
                os._exit(int(stopped.code or 0))
