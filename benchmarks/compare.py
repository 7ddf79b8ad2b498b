"""Let contestants work in turn and measure them: worker processes, one at a time, in interleaved rounds.

Each contestant is a module that calls `benchmarks.workers.serve.serve`, run by a Python of its own choice, so that
peers with other versions of libraries take part. What slows the machine for a while slows all of them alike.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.workers.serve import ANSWERS, THREADS

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "build/peers"
STOP_SECONDS = 30  # for a worker to end after its work


@dataclass(frozen=True)
class Contestant:
    """One line of the comparison.

    Args:
        name: For tables and charts.
        module: The worker, run with `python -m`.
        options: Its command line.
        peer: Name of the environment in the folder of peers. Default: this one.
        package: A package that this environment may lack.
        is_ours: Whether to highlight it.
    """

    name: str
    module: str
    options: Sequence[str] = ()
    peer: str | None = None
    package: str | None = None
    is_ours: bool = False

    def python(self, peers: Path) -> Path:
        """Its interpreter."""
        return peers / self.peer / "bin/python" if self.peer else Path(sys.executable)

    def missing(self, peers: Path) -> str | None:
        """Why it cannot take part, and what to install; None if it can."""
        if not self.python(peers).exists():
            return f"there is no {self.python(peers)}; install it with: make bench-peers"
        if self.package and find_spec(self.package) is None:
            return f"{self.package} is not installed; install it with: pip install {self.package}"
        return None


@dataclass
class Result:
    """What was measured of a contestant.

    Attributes:
        about: What the worker said of itself: versions of libraries, trained parameters, peak memory of its start.
        seconds: Part of the work → seconds of each timed round.
        peak_bytes: Peak memory while it worked, all rounds.
    """

    about: dict[str, Any]
    seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    peak_bytes: int = 0

    def add(self, answer: dict[str, Any], is_timed: bool) -> None:
        self.peak_bytes = max(self.peak_bytes, answer["peak_bytes"])
        for part, seconds in answer["seconds"].items() if is_timed else ():
            self.seconds.setdefault(part, []).append(seconds)


class WorkerError(Exception):
    """A worker has ended by itself; the message is one line."""


@dataclass
class Outcome:
    """The results of those that finished, and why others did not, by contestant."""

    results: dict[str, Result] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)

    def fail(self, name: str, error: WorkerError) -> None:
        self.failed[name] = str(error)
        self.results.pop(name, None)
        print(f"{name} failed: {error}")

    def leave_out(self, name: str, reason: str) -> None:
        self.left_out[name] = reason
        print(f"{name} is left out: {reason}")


class Worker:
    """A contestant's process. It answers when it is ready, and after each unit of work.

    Args:
        contestant: What it runs.
        python: The interpreter.
        threads: How many it computes with.
        log: File for what it prints.

    Raises:
        WorkerError: The process ended before it was ready.
    """

    def __init__(self, contestant: Contestant, python: Path, threads: int, log: Path) -> None:
        self.log = log
        read, write = os.pipe()
        own = {ANSWERS: str(write), THREADS: str(threads), "OMP_NUM_THREADS": str(threads)}
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [python, "-m", contestant.module, *contestant.options],
                cwd=ROOT,
                env=os.environ | own,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
                pass_fds=[write],
            )
        os.close(write)
        self.answers = os.fdopen(read, encoding="utf-8")
        try:
            self.about = self._answer()
        except WorkerError:
            self.close()
            raise

    def work(self) -> dict[str, Any]:
        """Let it do one unit of work. Raises WorkerError if it ends instead."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait()  # `_answer` says why
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        if line := self.answers.readline():
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self.process.wait()
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"]
        memory = ", perhaps for lack of memory" if code == -9 else ""
        raise WorkerError(f"its process ended with {code}{memory}: {lines[-1]}")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.answers.close()


def compete(contestants: Sequence[Contestant], rounds: int, warm_up: int, threads: int, peers: Path = PEERS) -> Outcome:
    """Let the contestants do one unit of work each, round after round.

    Args:
        contestants: Those whose environment is missing are left out, with a line that says what to install. One whose
            process ends is reported in one line, and the others go on.
        rounds: Timed rounds.
        warm_up: Rounds before them.
        threads: How many each computes with.
        peers: Folder of the peers' environments.
    """
    outcome, workers = Outcome(), dict[str, Worker]()
    bar = Progress(transient=True, disable=not sys.stdout.isatty())
    with ExitStack() as stack, tempfile.TemporaryDirectory() as logs, bar:
        for number, contestant in enumerate(bar.track(contestants, description="starting")):
            name = contestant.name
            if missing := contestant.missing(peers):
                outcome.leave_out(name, missing)
                continue
            try:
                worker = Worker(contestant, contestant.python(peers), threads, Path(logs) / str(number))
            except WorkerError as error:
                outcome.fail(name, error)
                continue
            stack.callback(worker.close)
            workers[name], outcome.results[name] = worker, Result(worker.about)
        for round_ in bar.track(range(warm_up + rounds), description="measuring"):
            for name in rotated(list(outcome.results), round_):
                try:
                    outcome.results[name].add(workers[name].work(), is_timed=round_ >= warm_up)
                except WorkerError as error:
                    outcome.fail(name, error)
    return outcome


def rotated(names: Sequence[str], round_: int) -> list[str]:
    """The order of a round: each begins with another contestant."""
    first = round_ % len(names) if names else 0
    return [*names[first:], *names[:first]]


def add_arguments(parser: argparse.ArgumentParser, rounds: int, warm_up: int = 1) -> None:
    """Add the options of `compete`."""
    parser.add_argument("--out", type=Path, help="folder for the results; default: they are only printed")
    parser.add_argument("--rounds", type=int, default=rounds, help="timed rounds")
    parser.add_argument("--warm_up", type=int, default=warm_up, help="rounds before them")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each contestant")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose who takes part."""
    parser.add_argument("--contestants", nargs="+", metavar="NAME", help="default: all that are installed")
    parser.add_argument("--peers", type=Path, default=PEERS, help="folder of the environments that bench-peers makes")


def choose(contestants: Sequence[Contestant], names: Sequence[str] | None) -> list[Contestant]:
    """The contestants with these names; all if there are none.

    Raises:
        SystemExit: A name is not known.
    """
    known = {contestant.name: contestant for contestant in contestants}
    if unknown := [name for name in names or () if name not in known]:
        raise SystemExit(f"unknown contestant {unknown[0]!r}; expected one of {', '.join(known)}")
    return [known[name] for name in names or known]
