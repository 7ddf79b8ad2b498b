"""Search with optuna: ask for trials, run their cells, and tell how they have ended.

Trials run in batches. All that is known when a batch is asked for are the batches before it, and each trial's random
numbers are a function of the sampler's seed and the trial's number. So the trials depend on the study file and on
`--jobs`, but not on timing, and not on whether the study was stopped.
"""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
from filelock import FileLock, Timeout

from lit_compacter.errors import UserError
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.engines.base import Engine, Listener
from lit_compacter.studies.folder import VERBS, StudyFolder
from lit_compacter.studies.search.grid_search import evaluate_best, run_unfinished
from lit_compacter.studies.search.options import OptunaOptions
from lit_compacter.studies.search.trials import Group, OpenTrial
from lit_compacter.studies.study import Study, group_name
from lit_compacter.utils.console import console

DATABASE = "optuna.db"
LOCK = ".optuna.lock"  # held by the process that asks for trials
POLL_S = 1.0  # between looks at the validations of running trials


class OptunaSearch:
    """All trials of a study, kept in its folder.

    Args:
        study: The study file's.
        path: The study's folder, created if it is absent.
        num_jobs: Cells that run at a time.

    Raises:
        UserError: The folder holds another study, another process searches in it, or a class or an option of optuna is
            wrong.
    """

    verb = VERBS[0]

    def __init__(self, study: Study, path: Path, num_jobs: int) -> None:
        if not (path / DATABASE).exists():
            StudyFolder(path, [])  # refuses a folder with something else
        self.lock = FileLock(path / LOCK)
        try:
            self.lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(f"another process searches in {path}; wait for it or stop it") from error
        self.groups = make_groups(study, open_storage(path))
        self.folder = StudyFolder(path, unique(cell for group in self.groups for cell in group.known_cells()))
        num_seeds = sum(len(group.seeds) for group in self.groups)
        self.folder.num_expected = num_seeds * self.groups[0].options.num_trials
        self.batch_size = max(1, num_jobs // num_seeds)

    def run(self, engine: Engine, listener: Listener) -> bool:
        """Run all trials that are left, `fit` for each of their cells, and test the best."""
        with contextlib.closing(self):  # afterwards another process may search
            self.run_trials(engine, listener)
        self.folder.num_expected = len(self.folder.cells)  # equal trials have shared theirs
        return evaluate_best(engine, self.folder, listener)

    def close(self) -> None:
        """Let other processes search in the folder."""
        self.lock.release()

    def run_trials(self, engine: Engine, listener: Listener) -> None:
        """Run `fit` for the cells of all trials that are left."""
        while batch := [(group, trial) for group in self.groups for trial in group.next_batch(self.batch_size)]:
            trials = [trial for _, trial in batch]
            cells = unique(cell for trial in trials for cell in trial.cells)
            self.folder.add(cells)
            with self._watching(trials):
                run_unfinished(engine, cells, VERBS[:1], self.folder, listener)
            for group, trial in batch:
                console.print(group.close(trial, self.folder.path), markup=False, soft_wrap=True, highlight=False)

    @contextlib.contextmanager
    def _watching(self, trials: Sequence[OpenTrial]) -> Iterator[None]:
        """Look at the validations of trials while their cells run, and once more at the end."""
        for trial in trials:
            if trial.is_pruned(self.folder.path):
                trial.prune(self.folder.path)  # the cells that a killed process had not yet marked
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(POLL_S):
                for trial in trials:
                    trial.watch(self.folder.path)

        with ThreadPoolExecutor(1) as pool:
            watcher = pool.submit(watch)
            try:
                yield
            finally:
                ended.set()
            watcher.result()
        for trial in trials:
            trial.watch(self.folder.path)


def open_storage(path: Path) -> optuna.storages.BaseStorage:
    """Where optuna keeps the trials of a study, given its folder."""
    return optuna.storages.RDBStorage(f"sqlite:///{path / DATABASE}")


def make_groups(study: Study, storage: optuna.storages.BaseStorage) -> list[Group]:
    """An optuna study for each combination of the axes without the seed."""
    options = OptunaOptions.read(study.optuna or {})
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seeds: dict[str, list[Cell]] = defaultdict(list)
    for cell in study.without_search().cells():
        seeds[group_name(cell)].append(cell)
    return [Group(name, study, options, cells, storage) for name, cells in seeds.items()]


def first_cells(study: Study) -> list[Cell]:
    """The cells of the first trial of each group.

    Raises:
        UserError: A class or an option of optuna is wrong.
    """
    groups = make_groups(study, optuna.storages.InMemoryStorage())
    return [cell for group in groups for trial in group.next_batch(1) for cell in trial.cells]


def unique(cells: Iterator[Cell]) -> list[Cell]:
    """The cells without repetitions, in their order."""
    return list({cell.name: cell for cell in cells}.values())
