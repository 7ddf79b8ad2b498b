"""Show how a study goes: a live table in a terminal, else a line for each cell that ends."""

import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lit_compacter.results.learning_curve import read_history
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.job import Outcome
from lit_compacter.utils.console import console
from lit_compacter.utils.jsonl import append_record
from lit_compacter.utils.run_files import LOSS, SCORE, TEST_SCORE

REFRESH_S = 2.0
MAX_ENDED = 12  # rows of the table for cells that have ended


class Display(AbstractContextManager["Display"]):
    """Listens to the cells, shows them, and writes a line to progress.jsonl when one ends.

    Args:
        folder: The study's.
        verb: A cell is finished when it has results of this one. A search tests only the cells that it has chosen.
    """

    def __init__(self, folder: StudyFolder, verb: str) -> None:
        self.folder = folder
        self.num_jobs = 1  # how many ran at a time, for the estimate of the time that is left
        self.lock = threading.Lock()
        self.running: dict[str, tuple[Cell, float]] = {}
        self.ended_cells: dict[str, tuple[Cell, Outcome]] = {}
        self.finished = {cell.name for cell in folder.cells if cell.has_done(folder.path, verb)}
        self.pruned = {cell.name for cell in folder.cells if cell.is_pruned(folder.path)}
        self.live = Live(console=console, get_renderable=self.render, refresh_per_second=1 / REFRESH_S)

    def __enter__(self) -> "Display":
        if console.is_terminal:
            self.live.start()
        else:
            console.print(f"{self.headline()}; a line follows for each cell that ends", markup=False, soft_wrap=True)
        return self

    def __exit__(self, *error: Any) -> None:
        if console.is_terminal:
            self.live.stop()

    def started(self, cell: Cell) -> None:
        with self.lock:
            self.running[cell.name] = cell, time.monotonic()
            self.num_jobs = max(self.num_jobs, len(self.running))

    def ended(self, cell: Cell, outcome: Outcome) -> None:
        with self.lock:
            del self.running[cell.name]
            self.ended_cells[cell.name] = cell, outcome
            if outcome.state in ("finished", "pruned"):
                (self.finished if outcome.state == "finished" else self.pruned).add(cell.name)
            append_record(
                self.folder.progress,
                {"cell": cell.name, "state": outcome.state, "error": outcome.error, "seconds": round(outcome.seconds)},
            )
            if not console.is_terminal:
                line = f"{datetime.now():%H:%M:%S} {self.headline()} · {cell.name} {self.describe(cell, outcome)}"
                console.print(line, markup=False, soft_wrap=True, highlight=False)

    @property
    def counts(self) -> Counter[str]:
        """State → number of cells that ended with it in this process."""
        return Counter(outcome.state for _, outcome in self.ended_cells.values())

    def headline(self) -> str:
        """`3 of 16 finished, 1 failed, 2 running, about 0:12:00 left`."""
        parts = [f"{len(self.finished)} of {self.folder.num_expected} finished"]
        pruned = self.pruned - self.finished  # a run may have ended before the rest of its trial was pruned
        parts += [f"{len(pruned)} pruned"] if pruned else []
        parts += [f"{count} failed" for count in (self.counts["failed"],) if count]
        parts += [f"{len(self.running)} running"] if self.running else []
        seconds = [outcome.seconds for _, outcome in self.ended_cells.values() if outcome.state == "finished"]
        left = self.folder.num_expected - len(self.finished | self.pruned) - self.counts["failed"]
        if seconds and left:
            total = left * sum(seconds) / len(seconds) / self.num_jobs
            parts.append(f"about {timedelta(seconds=round(total))} left")
        return ", ".join(parts)

    def describe(self, cell: Cell, outcome: Outcome) -> str:
        """`finished, test/score 0.913, 52 s`, or the error."""
        score = cell.metrics(self.folder.path).get(TEST_SCORE)
        parts = [outcome.state, *([f"{TEST_SCORE} {score:.4g}"] if score is not None else [])]
        return ", ".join([*parts, outcome.error or f"{outcome.seconds:.0f} s"])

    def render(self) -> Group:
        """The table: the cells that run and those that ended last."""
        with self.lock:
            table = Table("cell", "state", "results", "time", box=None)
            for name, (cell, since) in self.running.items():
                series = read_history(cell.run_dir(self.folder.path))
                parts = []
                for metric in (LOSS, SCORE):
                    if steps := series.get(metric):
                        parts.append(f"{metric} {steps[max(steps)]:.4g} at step {max(steps)}")
                elapsed = timedelta(seconds=round(time.monotonic() - since))
                table.add_row(escape(name), "[cyan]running[/]", ", ".join(parts), str(elapsed))
            for name, (cell, outcome) in list(self.ended_cells.items())[-MAX_ENDED:]:
                style = {"finished": "green", "failed": "red"}.get(outcome.state, "yellow")
                text = Text(self.describe(cell, outcome).partition(", ")[2])
                table.add_row(escape(name), f"[{style}]{outcome.state}[/]", text, "")
            bar = ProgressBar(total=self.folder.num_expected, completed=len(self.finished | self.pruned), width=40)
            return Group(Text(self.headline()), bar, table)
