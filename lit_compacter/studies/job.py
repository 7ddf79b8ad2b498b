"""Run one cell of a study: a process of the command line for each of its verbs."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from lit_compacter.runtime.command import ENTRY
from lit_compacter.runtime.signals import EXIT_INTERRUPTED, EXIT_RESUMABLE
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder

POLL_S = 0.2  # between looks at a running process
STOPPED = (EXIT_INTERRUPTED, EXIT_RESUMABLE, -signal.SIGTERM)  # the last one before Python has started
ERROR = "error: "  # begins the line of a user error
# The options of Python that run a program which Linux tells to stop when this process is killed: prctl's option 1 is
# PR_SET_PDEATHSIG, which lasts in the program. Elsewhere, the next study waits for the program.
STOPS_WITH_PARENT = [
    *("-S", "-c"),
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGTERM); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
]
# Count the processes of this study's own job, not those of a cell, which Lightning starts.
SLURM_VARIABLES = ("SLURM_NTASKS", "SLURM_PROCID")


@dataclass(frozen=True)
class Job:
    """What is to be run of a cell: all verbs, or only the first ones."""

    cell: Cell
    verbs: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """How the run of a cell has ended. `error` is one line."""

    state: Literal["finished", "failed", "stopped", "pruned"]
    seconds: float = 0.0
    error: str | None = None


def run_job(job: Job, folder: StudyFolder, env: Mapping[str, str], should_stop: Callable[[], bool]) -> Outcome:
    """Run the verbs of a job that have no results yet, and wait for them. A fit goes on at its last checkpoint.

    A process is asked to save its state and end if `should_stop` returns true, or if its cell is marked as pruned.

    Args:
        job: The cell and its verbs.
        folder: The study's.
        env: Environment variables in addition to those of this process.
        should_stop: Asked several times a second.
    """
    started = time.monotonic()

    def should_end() -> bool:
        return should_stop() or job.cell.is_pruned(folder.path)

    def ended_early() -> Outcome:
        return Outcome("pruned" if job.cell.is_pruned(folder.path) else "stopped", time.monotonic() - started)

    with _lock(_made(folder.locks / f"{job.cell.name}.lock"), should_end) as lock:
        for verb in job.verbs:
            if job.cell.has_done(folder.path, verb):
                continue
            if should_end():
                return ended_early()
            starter = STOPS_WITH_PARENT if sys.platform == "linux" else []
            command = [sys.executable, *starter, str(ENTRY), *job.cell.command(folder.path, verb)]
            code, printed = _run(command, _made(folder.log(job.cell)), env, lock, should_end)
            if code in STOPPED or (code and job.cell.is_pruned(folder.path)):
                return ended_early()
            if code:
                return Outcome("failed", time.monotonic() - started, f"{verb}: {_explain(code, printed)}")
    return Outcome("finished", time.monotonic() - started)


def _made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@contextlib.contextmanager
def _lock(file: Path, should_stop: Callable[[], bool]) -> Iterator[IO[str]]:
    """Hold a lock against other processes on the same study, once it is free or `should_stop` returns true.

    A process that is given the open file holds the lock too: if this process is killed, the next one waits for it.
    """
    with file.open("a") as lock:
        while not should_stop():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(POLL_S)
        yield lock


def _run(
    command: Sequence[str], log: Path, env: Mapping[str, str], lock: IO[str], should_stop: Callable[[], bool]
) -> tuple[int, list[str]]:
    """Run a process to its end.

    Returns:
        Its exit code, and the lines that it printed.
    """
    with log.open("a", encoding="utf-8") as output:
        start = output.tell()
        # A session of its own: Ctrl-C in the terminal reaches only this process, which stops its cells one by one.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in (os.environ | env).items() if name not in SLURM_VARIABLES},
            pass_fds=[lock.fileno()],
            start_new_session=True,
        )
        asked = False
        while True:
            try:
                code = process.wait(POLL_S)
                break
            except subprocess.TimeoutExpired:
                if should_stop() and not asked:
                    process.send_signal(signal.SIGTERM)
                    asked = True
    with log.open(encoding="utf-8", errors="replace") as output:
        output.seek(start)
        return code, output.read().split("\n")


def _explain(code: int, printed: Sequence[str]) -> str:
    """One line about a process that failed."""
    lines = [line.strip() for line in printed if line.strip()]
    if errors := [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]:
        return errors[-1]
    if code < 0:
        memory = ", perhaps for lack of memory" if code == -signal.SIGKILL else ""
        return f"its process was killed by {signal.Signals(-code).name}{memory}"
    return lines[-1] if lines else f"its process ended with code {code} and printed nothing"
