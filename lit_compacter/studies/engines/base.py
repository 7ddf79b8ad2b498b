"""What an engine does, its options, and who listens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jsonargparse.typing import NonNegativeFloat, PositiveInt

from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.job import Job, Outcome


@dataclass
class EngineOptions:
    """How the cells of a study are run.

    Args:
        command: The arguments after `main.py` that run the study, without the options below.
    """

    command: Sequence[str]

    jobs: PositiveInt | None = None
    """Cells that run at a time. Default: 1 on this machine; with ray and slurm, as many as there is room for."""

    cpus_per_job: PositiveInt = 1
    """With ray: CPUs that each cell reserves, and the threads that it uses."""

    gpus_per_job: NonNegativeFloat | None = None
    """With ray: GPUs that each cell reserves, such as 0.5 for two cells on one GPU. Default: 1 if the cluster has GPUs,
    else 0."""

    slurm_options: str = ""
    """With slurm: options of sbatch for each cell, such as "--partition=gpu --gres=gpu:1 --time=4:00:00"."""


class Listener(Protocol):
    """Hears of the cells as they start and end, from any thread."""

    def started(self, cell: Cell) -> None: ...

    def ended(self, cell: Cell, outcome: Outcome) -> None: ...


class Engine(Protocol):
    """Runs jobs with `run_job`, or has them run elsewhere."""

    def run(self, jobs: Sequence[Job], folder: StudyFolder, listener: Listener) -> bool:
        """Run all jobs and wait until they have ended. If a stop signal raises an exception, stop them first.

        Returns:
            Whether they have ended. False if they run elsewhere, and the user has been told how.
        """
