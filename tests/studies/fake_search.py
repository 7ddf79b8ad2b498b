"""Searches with optuna whose cells are made up."""

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs optuna: pip install 'lit-compacter[optuna]'")

import optuna

from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.job import Job, Outcome
from lit_compacter.studies.search import optuna_search
from lit_compacter.studies.search.grid_search import CRITERION
from lit_compacter.studies.search.optuna_search import OptunaSearch
from lit_compacter.studies.study import Study
from lit_compacter.utils.jsonl import append_record
from lit_compacter.utils.run_files import HISTORY, METRICS, RESULTS

LR, FACTOR = "model.learning_rate", "model.method.reduction_factor"
SEARCH = {LR: {"low": 1e-4, "high": 1e-2, "log": True}, FACTOR: [8, 16, 32]}
AXES: dict[str, list[Any]] = {"method": ["compacter", "compacter_pp"], "seed": [1, 2]}
NUM_VALIDATIONS = 4


def make_study(**changes: Any) -> Study:
    given = {"configs": ["demo.yaml"], "axes": AXES, "search": SEARCH, "optuna": {"num_trials": 4}}
    return Study(**(given | changes))


def score(cell: Cell) -> float:
    """Best at a learning rate of 1e-3 and a factor of 16; seeds differ a little."""
    return 1 / (1 + abs(cell.search[LR] / 1e-3 - 1) + abs(cell.search[FACTOR] - 16)) + cell.values["seed"] / 100


class Silent:
    """Listens to cells."""

    def started(self, cell: Cell) -> None: ...

    def ended(self, cell: Cell, outcome: Outcome) -> None: ...


class Stop(BaseException):
    """What a stop signal raises."""


class FakeEngine:
    """Writes what runs would have written, with scores that rise to the last validation's.

    Args:
        scores: A cell's last score.
        num_left: Cells after which the study is stopped, in the middle of one.
        fails: Whether a cell fails.
    """

    def __init__(
        self,
        scores: Callable[[Cell], float] = score,
        num_left: int | None = None,
        fails: Callable[[Cell], bool] = lambda cell: False,
    ) -> None:
        self.scores, self.num_left, self.fails = scores, num_left, fails
        self.ran: list[str] = []
        self.batches: list[list[str]] = []

    def run(self, jobs: Sequence[Job], folder: StudyFolder, listener: Any) -> bool:
        self.batches.append([job.cell.name for job in jobs])
        for job in jobs:
            if job.cell.is_pruned(folder.path):
                continue
            self.ran.append(job.cell.name)
            stops = self.num_left is not None and len(self.ran) > self.num_left
            if not self.fails(job.cell):
                self.fit(job.cell, folder.path, NUM_VALIDATIONS // 2 if stops else NUM_VALIDATIONS)
            if stops:
                raise Stop
        return True

    def fit(self, cell: Cell, path: Path, num_validations: int) -> None:
        run_dir = cell.run_dir(path)
        for number in range(1, num_validations + 1):
            value = self.scores(cell) * number / NUM_VALIDATIONS
            append_record(run_dir / HISTORY, {"step": 10 * number, "epoch": number, "val/score": value})
        if num_validations == NUM_VALIDATIONS:
            (run_dir / METRICS).write_text(json.dumps({CRITERION: self.scores(cell)}))
            append_record(run_dir / RESULTS, {"verb": "fit"})


def search(study: Study, path: Path, engine: FakeEngine, num_jobs: int = 1) -> StudyFolder:
    """Search, also to the stop of an engine."""
    searching = OptunaSearch(study, path, num_jobs)
    with contextlib.closing(searching):
        searching.run_trials(engine, Silent())
    return searching.folder


def trials(path: Path, group: str = "method=compacter") -> list[tuple[int, str, dict[str, Any], float | None]]:
    """What optuna keeps of each trial: number, state, values and result."""
    known = optuna.load_study(study_name=group, storage=optuna_search.open_storage(path)).trials
    return [(trial.number, trial.state.name, trial.params, trial.value) for trial in known]
