"""Choose hyperparameters on validation rows, as the paper does."""

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from lit_compacter.studies.cell import Cell
from lit_compacter.studies.study import SEED

CRITERION = "val/best_score"


def choose(cells: Sequence[Cell], study: Path) -> list[Cell]:
    """The cells to test: of those that differ only in the search, the ones with the best mean of val/best_score.

    A combination counts if `fit` has ended for all of its seeds, and none was pruned.

    Args:
        cells: The cells of a study.
        study: Its folder.
    """
    groups: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        group = {axis: value for axis, value in cell.values.items() if axis != SEED}
        groups[json.dumps(group)][json.dumps(cell.search)].append(cell)
    chosen = []
    for combinations in groups.values():
        scores = {}
        for combination, seeds in combinations.items():
            if all(cell.has_done(study, "fit") and not cell.is_pruned(study) for cell in seeds):
                scores[combination] = statistics.fmean(cell.metrics(study)[CRITERION] for cell in seeds)
        if scores:
            chosen += combinations[max(scores, key=lambda combination: scores[combination])]
    return chosen
