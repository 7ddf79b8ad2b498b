"""What an engine does, and who listens."""

from collections.abc import Sequence
from typing import Protocol

from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.runner import Job, Outcome


class Listener(Protocol):
    """Hears of the cells as they start and end, from any thread."""

    def started(self, cell: Cell) -> None: ...

    def ended(self, cell: Cell, outcome: Outcome) -> None: ...


class Engine(Protocol):
    """Runs jobs with `run_job`."""

    def run(self, jobs: Sequence[Job], folder: StudyFolder, listener: Listener) -> None:
        """Run all jobs and return when they have ended. If a stop signal raises an exception, stop them first."""
