"""Run one cell of a study: a process of the command line for each of its verbs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from lit_compacter.results.run_dir import LOCK
from lit_compacter.runtime.command import ENTRY
from lit_compacter.runtime.signals import EXIT_INTERRUPTED, EXIT_RESUMABLE
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder

POLL_S = 0.2  # between looks at a running process
ERROR = "error: "  # begins the line of a user error


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

    with FileLock(_made(folder.locks / f"{job.cell.name}.lock")):  # against another process on the same study
        for verb in job.verbs:
            _wait_for_orphan(job.cell.run_dir(folder.path), should_end)
            if job.cell.has_done(folder.path, verb):
                continue
            if should_end():
                return ended_early()
            command = [sys.executable, str(ENTRY), *job.cell.command(folder.path, verb)]
            code, printed = _run(command, _made(folder.log(job.cell)), env, should_end)
            if code in (EXIT_INTERRUPTED, EXIT_RESUMABLE) or (code and job.cell.is_pruned(folder.path)):
                return ended_early()
            if code:
                return Outcome("failed", time.monotonic() - started, f"{verb}: {_explain(code, printed)}")
    return Outcome("finished", time.monotonic() - started)


def _made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _wait_for_orphan(run_dir: Path, should_stop: Callable[[], bool]) -> None:
    """Wait for the process that a killed study may have left, which still trains in the run directory."""
    while run_dir.exists() and not should_stop():
        try:
            with FileLock(run_dir / LOCK, timeout=POLL_S):
                return
        except Timeout:
            continue


def _run(
    command: Sequence[str], log: Path, env: Mapping[str, str], should_stop: Callable[[], bool]
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
            env=os.environ | env,
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
