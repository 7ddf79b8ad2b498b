"""The results of a study as tables: rows (methods), columns (tasks), and one table for each value of the other axes."""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.reports.cells import CellResult, StudyResults, Value
from lit_compacter.reports.titles import title_of
from lit_compacter.studies.study import METHOD, SEED, TASK

Fixed = tuple[tuple[str, Value], ...]  # the axes that a table is for, with their values
Place = tuple[Fixed, Value, Value]  # table, row, column
NO_BASELINE = "none"
SINGLE = ""  # the row or column of a study that has no axis for it
STAGES = ("test/", "val/")  # of the metrics that a report can compare
AVERAGE = "average"  # the column of the mean over tasks


@dataclass(frozen=True)
class Grid:
    """The cells of a study by their place.

    Attributes:
        metric: The result that is compared, such as test/score.
        row_axis: The axis of the rows; None if there is a single one.
        tables: What each table is for.
        rows: The values of `row_axis`.
        columns: The tasks.
        planned: Place → its cells.
        results: Place → seed → the cell with a result. Of a search's cells, only the one that was tested has one.
    """

    metric: str
    row_axis: str | None
    tables: Sequence[Fixed]
    rows: Sequence[Value]
    columns: Sequence[Value]
    planned: Mapping[Place, Sequence[CellResult]]
    results: Mapping[Place, Mapping[Value, CellResult]]

    def row_title(self, row: Value) -> str:
        """The text of a row's first column."""
        return title_of(self.row_axis, row) if self.row_axis else "all runs"

    def scores(self, place: Place) -> dict[Value, float]:
        """Seed → the result in percent."""
        return {seed: 100 * cell.metrics[self.metric] for seed, cell in self.results.get(place, {}).items()}

    def num_seeds(self, fixed: Fixed) -> int:
        """The number of seeds that the entries of a table are planned with; the most, if they differ."""
        of_table = [cells for place, cells in self.planned.items() if place[0] == fixed]
        return max(len({cell.values.get(SEED) for cell in cells}) for cells in of_table)

    def missing(self, place: Place) -> list[CellResult]:
        """The cells of a place that have no result and no other cell in their stead, the first for each seed."""
        results = self.results.get(place, {})
        lacking = {cell.values.get(SEED): cell for cell in reversed(self.planned.get(place, ()))}
        return [cell for seed, cell in lacking.items() if seed not in results][::-1]


def make_grid(study: StudyResults, metric: str) -> Grid:
    """Sort a study's cells into tables.

    Args:
        study: The study.
        metric: A result in metrics.json, such as test/score.

    Raises:
        UserError: No cell has a result, or none has this metric.
    """
    names = dict.fromkeys(name for cell in study.cells for name in cell.metrics)
    known = [name for name in names if name.startswith(STAGES)]
    if metric not in known:
        if tested := [name for name in known if name.startswith("test/")]:
            raise UserError(f"no result {metric!r}; expected one of {', '.join(known)}{did_you_mean(metric, known)}")
        validated = f", or give --metric {known[0]}" if known and not tested else ""
        raise UserError(
            f"{study.name} has no {metric} yet: none of its {len(study.cells)} cells is finished; test a run{validated}"
        )
    # A task whose runs are finished without this metric does not have it: it is no column.
    study = replace(study, cells=[cell for cell in study.cells if metric in cell.metrics or cell.state != "finished"])
    others = [axis for axis in study.axes if axis not in (METHOD, TASK, SEED)]
    row_axis = METHOD if METHOD in study.axes else next(iter(others), None)
    fixed_axes = [axis for axis in others if axis != row_axis]
    planned: dict[Place, list[CellResult]] = {}
    results: dict[Place, dict[Value, CellResult]] = {}
    for cell in study.cells:
        fixed = tuple((axis, cell.values[axis]) for axis in fixed_axes if axis in cell.values)
        place = fixed, cell.values.get(row_axis or "", SINGLE), cell.values.get(TASK, SINGLE)
        planned.setdefault(place, []).append(cell)
        if metric in cell.metrics and not (cell.search and cell.state != "finished"):
            _add(results.setdefault(place, {}), cell)
    tables = _in_order({place[0] for place in planned}, study, fixed_axes)
    rows = study.values(row_axis) if row_axis else [SINGLE]
    columns = study.values(TASK) or [SINGLE]
    return Grid(metric, row_axis, tables, rows, columns, planned, results)


def _add(of_place: dict[Value, CellResult], cell: CellResult) -> None:
    """Let a cell count for its seed."""
    seed = cell.values.get(SEED)
    if earlier := of_place.get(seed):
        warnings.warn(f"{earlier.name} and {cell.name} have the same values: the latter counts", stacklevel=4)
    of_place[seed] = cell


def _in_order(tables: set[Fixed], study: StudyResults, axes: Sequence[str]) -> list[Fixed]:
    """The tables in the order of their axes' values; where cells lack an axis, after the others."""
    every = itertools.product(*([(axis, value) for value in study.values(axis)] for axis in axes))
    whole = [fixed for fixed in every if fixed in tables]
    return whole + sorted(tables.difference(whole), key=str)


def find_baseline(grid: Grid, given: str | None) -> Value:
    """The row that the others are compared with; None for no comparison.

    Args:
        grid: The grid.
        given: A row's value or title, or `none`. Default: the first row.

    Raises:
        UserError: There is no such row.
    """
    if given is None:
        return grid.rows[0] if len(grid.rows) > 1 else None
    if given == NO_BASELINE:
        return None
    names = {name: row for row in grid.rows for name in (str(row), grid.row_title(row))}
    if given not in names:
        known = ", ".join((*map(str, grid.rows), NO_BASELINE))
        raise UserError(f"no baseline {given!r}; expected one of {known}{did_you_mean(given, names)}")
    return names[given]
