"""The trials of one optuna study: one combination of the axes without the seed, over all of its seeds."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from lit_compacter.errors import UserError, first_line
from lit_compacter.results.learning_curve import read_history
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.search.classes import make_pruner, make_sampler
from lit_compacter.studies.search.grid_search import CRITERION, score
from lit_compacter.studies.search.options import OptunaOptions
from lit_compacter.studies.search.space import read_space
from lit_compacter.studies.study import Study
from lit_compacter.utils.run_files import SCORE

SEEDS = "seeds"  # attribute of an optuna study: the names of its runs; a trial's value is their mean
NEW_OUTPUT = "give a new --output"


class OpenTrial:
    """A trial whose cells are to run.

    Args:
        trial: optuna's.
        cells: One for each seed. Those of an earlier trial if it has the same values, so that nothing runs twice.
        num_reported: Validations that optuna knows.
        is_repeated: Whether the cells are those of an earlier trial.
    """

    def __init__(self, trial: optuna.Trial, cells: Sequence[Cell], num_reported: int, is_repeated: bool) -> None:
        self.trial, self.cells = trial, cells
        self.num_reported, self.is_repeated = num_reported, is_repeated

    def watch(self, path: Path) -> None:
        """Report the validations of the first seed to optuna, and mark the cells if it prunes the trial.

        Whether it is pruned depends on the validations, not on when they are read.
        """
        if self.is_repeated or self.is_pruned(path):
            return
        series = read_history(self.cells[0].run_dir(path)).get(SCORE, {})
        for step in sorted(series)[self.num_reported :]:
            self.num_reported += 1
            self.trial.report(series[step], self.num_reported)
            if self.trial.should_prune():
                self.prune(path)
                return

    def prune(self, path: Path) -> None:
        """Mark all cells, so that they end."""
        for cell in self.cells:
            mark = cell.prune_mark(path)
            mark.parent.mkdir(exist_ok=True)
            mark.touch()

    def is_pruned(self, path: Path) -> bool:
        """Whether its cells are marked. A process that was killed may have marked only some."""
        return any(cell.is_pruned(path) for cell in self.cells)

    def close(self, path: Path) -> TrialState:
        """Tell optuna how it has ended. If a cell failed or was stopped, the trial stays open for the next start."""
        study = self.trial.study
        if self.is_pruned(path):
            return study.tell(self.trial, state=TrialState.PRUNED).state
        if all(cell.has_done(path, "fit") for cell in self.cells):
            return study.tell(self.trial, statistics.fmean(score(cell, path) for cell in self.cells)).state
        return TrialState.RUNNING


class Group:
    """One optuna study.

    Args:
        name: Its name in the storage, such as `method=lora`.
        study: The study file's.
        options: Those of its section optuna.
        seeds: A cell without a search for each seed.
        storage: Where optuna keeps the trials.

    Raises:
        UserError: The storage holds trials of another search.
    """

    def __init__(
        self,
        name: str,
        study: Study,
        options: OptunaOptions,
        seeds: Sequence[Cell],
        storage: optuna.storages.BaseStorage,
    ) -> None:
        self.name, self.study, self.options, self.seeds = name, study, options, seeds
        self.space = read_space(study.search)
        self.trials = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=make_pruner(options.pruner),
        )
        self.storage = storage
        names = [seed.name for seed in seeds]
        if (known := self.trials.user_attrs.get(SEEDS, names)) != names:
            raise UserError(
                f"the study's folder holds another search: {name} has the runs {', '.join(known)}, not "
                f"{', '.join(names)}; {NEW_OUTPUT}"
            )
        self.trials.set_user_attr(SEEDS, names)
        self.unfinished: set[int] = set()  # in this process: with a cell that has failed or was stopped

    def known_cells(self) -> list[Cell]:
        """The cells of all trials in the storage."""
        trials = [trial for trial in self._all() if self._has_values(trial)]
        return [cell for trial in trials if first_equal(trials, trial) == trial.number for cell in self._cells(trial)]

    def next_batch(self, size: int) -> list[OpenTrial]:
        """The trials that an earlier process left open, and new ones to fill their batch; else a batch of new trials.

        Args:
            size: Trials of a batch.
        """
        trials = self._all()
        left = [t.number for t in trials if t.state == TrialState.RUNNING and t.number not in self.unfinished]
        num_asked = sum(trial.state != TrialState.WAITING for trial in trials)  # users may enqueue their own
        end = math.ceil(num_asked / size) * size if left else num_asked + size
        new = range(num_asked, min(end, self.options.num_trials))
        return [self._open(number) for number in left] + [self._open(None) for _ in new]

    def close(self, open_trial: OpenTrial, path: Path) -> str:
        """Tell optuna how a trial has ended. Returns a line for the user."""
        trial, state = open_trial.trial, open_trial.close(path)
        line = f"trial {trial.number} of {self.name}"
        if state == TrialState.RUNNING:
            self.unfinished.add(trial.number)
            return f"{line}: a cell has failed or was stopped"
        if state == TrialState.PRUNED:
            return f"{line}: pruned"
        if state == TrialState.FAIL:
            return f"{line}: {CRITERION} is no number"
        best, value = self.trials.best_trial, self._all()[trial.number].value
        return f"{line}: {CRITERION} {value:.4g}, best {best.value:.4g} (trial {best.number})"

    def _all(self) -> list[FrozenTrial]:
        return self.trials.get_trials(deepcopy=False)

    def _open(self, number: int | None) -> OpenTrial:
        """Open a trial again, or a new one if there is no number."""
        self.trials.sampler = make_sampler(self.options.sampler, len(self._all()) if number is None else number)
        if number is None:
            trial = self.trials.ask()
        else:
            study_id = self.storage.get_study_id_from_name(self.name)
            trial = optuna.Trial(self.trials, self.storage.get_trial_id_from_study_id_trial_number(study_id, number))
        try:
            for option, dimension in self.space.items():
                dimension.suggest(trial, option)  # one that is known keeps its value
        except ValueError as error:
            raise UserError(f"the study's folder holds another search: {first_line(error)}; {NEW_OUTPUT}") from error
        trials = self._all()
        known = trials[trial.number]
        first = first_equal(trials, known)
        cells = self._cells(trials[first])
        return OpenTrial(trial, cells, len(known.intermediate_values), is_repeated=first != trial.number)

    def _has_values(self, trial: FrozenTrial) -> bool:
        """Whether a trial has all of its values. A process that was killed may have left one without."""
        if trial.params.keys() == self.space.keys():
            return True
        if not trial.state.is_finished() and trial.params.keys() < self.space.keys():
            return False
        raise UserError(
            f"the study's folder holds another search, of {', '.join(trial.params) or 'nothing'}; {NEW_OUTPUT}"
        )

    def _cells(self, trial: FrozenTrial) -> list[Cell]:
        try:
            values = {option: dimension.value(trial.params[option]) for option, dimension in self.space.items()}
        except ValueError as error:
            raise UserError(
                f"the study's folder holds another search: trial {trial.number} has {trial.params}; {NEW_OUTPUT}"
            ) from error
        return [self.study.cell(seed.values, values, trial.number) for seed in self.seeds]


def first_equal(trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
    """The number of the first trial with the values of this one, which may be itself."""
    return next(other.number for other in trials if other.params == trial.params)
