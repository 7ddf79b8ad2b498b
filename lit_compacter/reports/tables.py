"""The tables of a report, as numbers: mean and standard deviation over seeds, of each method and task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lit_compacter.reports.bootstrap import LEVEL
from lit_compacter.reports.cells import CellResult, Value
from lit_compacter.reports.grid import AVERAGE, SINGLE, Fixed, Grid, Place
from lit_compacter.reports.titles import assignment, title_of
from lit_compacter.studies.study import TASK

DECIMALS = 2


@dataclass(frozen=True)
class Entry:
    """A result in percent.

    Attributes:
        mean: Mean over seeds.
        std: Sample standard deviation over seeds (ddof 1); None for one seed.
        count: Number of seeds.
        p_value: Of the difference from the baseline; None if it is not compared.
        is_best: Whether no other of its column is better, and some are worse, as written.
    """

    mean: float
    std: float | None
    count: int
    p_value: float | None = None
    is_best: bool = False

    @property
    def is_significant(self) -> bool:
        """Whether it differs from the baseline."""
        return self.p_value is not None and self.p_value < LEVEL


@dataclass(frozen=True)
class Row:
    """A method.

    Attributes:
        value: The axis's value.
        title: As it is written.
        entries: One for each column of the table, and for the average if the table has one; None if it is missing.
        trained: Trained parameters, the least and the most of its runs; None if unknown.
        share: The same in percent of all parameters.
    """

    value: Value
    title: str
    entries: Sequence[Entry | None]
    trained: tuple[int, int] | None
    share: tuple[float, float] | None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        fixed: The axes that it is for, with their values.
        columns: The tasks, and the average if there are several.
        titles: The same as they are written.
        rows: The methods.
        count: Planned number of seeds.
    """

    fixed: Fixed
    columns: Sequence[Value]
    titles: Sequence[str]
    rows: Sequence[Row]
    count: int

    @property
    def title(self) -> str:
        """`data.max_train_samples = 100`; empty if there is one table."""
        return ", ".join(assignment(axis, value) for axis, value in self.fixed)


def make_tables(grid: Grid, p_values: Mapping[Place, float]) -> list[Table]:
    """Make the tables of a grid.

    Args:
        grid: The results.
        p_values: Place → p-value of the difference from the baseline.
    """
    return [_make_table(grid, fixed, p_values) for fixed in grid.tables]


def summarize(scores: Sequence[float], p_value: float | None = None) -> Entry | None:
    """The entry of some results in percent; None if there are none."""
    if not scores:
        return None
    std = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return Entry(float(np.mean(scores)), std, len(scores), p_value)


def _make_table(grid: Grid, fixed: Fixed, p_values: Mapping[Place, float]) -> Table:
    columns: list[Value] = list(grid.columns)
    titles = [grid.metric if column == SINGLE else title_of(TASK, column) for column in columns]
    if len(columns) > 1:
        columns, titles = [*columns, AVERAGE], [*titles, "Average"]
    entries = [[_entry(grid, fixed, row, column, p_values) for column in columns] for row in grid.rows]
    by_column = [_mark_best(column, grid.metric) for column in zip(*entries, strict=True)]
    rows = []
    for row, of_row in zip(grid.rows, zip(*by_column, strict=True), strict=True):
        cells = [cell for column in grid.columns for cell in grid.planned.get((fixed, row, column), ())]
        rows.append(Row(row, grid.row_title(row), of_row, *_parameters(cells)))
    return Table(fixed, columns, titles, rows, grid.num_seeds(fixed))


def _entry(grid: Grid, fixed: Fixed, row: Value, column: Value, p_values: Mapping[Place, float]) -> Entry | None:
    p_value = p_values.get((fixed, row, column))
    if column != AVERAGE:
        return summarize(list(grid.scores((fixed, row, column)).values()), p_value)
    scores = [grid.scores((fixed, row, task)) for task in grid.columns]
    if not all(scores):
        return None
    mean = float(np.mean([np.mean(list(of_task.values())) for of_task in scores]))
    if any(of_task.keys() != scores[0].keys() for of_task in scores):  # the tasks have different seeds
        return Entry(mean, None, min(map(len, scores)), p_value)
    entry = summarize([float(np.mean([of_task[seed] for of_task in scores])) for seed in scores[0]], p_value)
    assert entry is not None
    return replace(entry, mean=mean)


def _mark_best(column: Sequence[Entry | None], metric: str) -> list[Entry | None]:
    sign = -1 if metric.endswith("/invalid") else 1
    written = {sign * round(entry.mean, DECIMALS) for entry in column if entry}
    best = max(written) if len(written) > 1 else None
    return [entry and replace(entry, is_best=sign * round(entry.mean, DECIMALS) == best) for entry in column]


def _parameters(cells: Sequence[CellResult]) -> tuple[tuple[int, int] | None, tuple[float, float] | None]:
    """Trained parameters of some runs, and their share in percent, each the least and the most."""
    known = [(c.resources["trained_parameters"], c.resources["parameters"]) for c in cells if c.resources]
    if not known:
        return None, None
    shares = [100 * trained / total for trained, total in known]
    return (min(known)[0], max(known)[0]), (min(shares), max(shares))
