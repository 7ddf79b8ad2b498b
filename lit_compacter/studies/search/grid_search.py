"""Run all cells; or train all, and test those with the best hyperparameters on validation rows, as the paper does."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from lit_compacter.errors import UserError
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.engines.base import Engine, Listener
from lit_compacter.studies.folder import VERBS, StudyFolder
from lit_compacter.studies.job import Job
from lit_compacter.studies.study import group_name
from lit_compacter.utils.console import console
from lit_compacter.utils.run_files import BEST_SCORE

CRITERION = BEST_SCORE


class Grid:
    """All cells of a study without a search.

    Args:
        folder: The study's.
        cells: Those to run. Default: all.
    """

    verb = VERBS[-1]

    def __init__(self, folder: StudyFolder, cells: Sequence[Cell] | None = None) -> None:
        self.folder, self.cells = folder, folder.cells if cells is None else cells

    def run(self, engine: Engine, listener: Listener) -> bool:
        return run_unfinished(engine, self.cells, VERBS, self.folder, listener)


class GridSearch(Grid):
    """All cells of a study with a search: once all are trained, the best are tested. Of only some, none is tested."""

    verb = VERBS[0]

    def run(self, engine: Engine, listener: Listener) -> bool:
        have_ended = run_unfinished(engine, self.cells, VERBS[:1], self.folder, listener)
        if not have_ended or len(self.cells) < len(self.folder.cells):
            return have_ended
        return evaluate_best(engine, self.folder, listener)


def run_unfinished(
    engine: Engine, cells: Sequence[Cell], verbs: Sequence[str], folder: StudyFolder, listener: Listener
) -> bool:
    """Run the verbs of those cells that have no results of the last one. Returns what the engine does."""
    left = [Job(cell, verbs) for cell in cells if not cell.has_done(folder.path, verbs[-1])]
    return not left or engine.run(left, folder, listener)


def evaluate_best(engine: Engine, folder: StudyFolder, listener: Listener) -> bool:
    """Choose cells of a search for the report, and test them."""
    chosen = choose(folder.cells, folder.path)
    folder.keep_choice(chosen)
    for group in dict.fromkeys(map(group_name, folder.cells)):
        if group not in map(group_name, chosen):
            text = f"{group}: nothing to test, as each combination has a cell that was pruned or has not finished"
            console.print(text, markup=False, soft_wrap=True, highlight=False)
    return run_unfinished(engine, chosen, VERBS, folder, listener)


def choose(cells: Sequence[Cell], study: Path) -> list[Cell]:
    """The cells to test: of those that differ only in the search, the ones with the best mean of val/best_score.

    A combination counts if `fit` has ended for all of its seeds, and none was pruned.

    Args:
        cells: The cells of a study.
        study: Its folder.

    Raises:
        UserError: A fit had no validation.
    """
    groups: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        groups[group_name(cell)][json.dumps(cell.search)].append(cell)
    chosen = []
    for combinations in groups.values():
        scores = {}
        for combination, seeds in combinations.items():
            if all(cell.has_done(study, "fit") and not cell.is_pruned(study) for cell in seeds):
                scores[combination] = statistics.fmean(score(cell, study) for cell in seeds)
        if scores:
            chosen += combinations[max(scores, key=lambda combination: scores[combination])]
    return chosen


def score(cell: Cell, study: Path) -> float:
    """The val/best_score of a cell whose fit has ended.

    Raises:
        UserError: It had no validation.
    """
    metrics = cell.metrics(study)
    if CRITERION not in metrics:
        raise UserError(f"{cell.name} has no {CRITERION}; a search needs validation: train longer, or validate earlier")
    return metrics[CRITERION]
