"""What the reader of the tables has to know: how they were made, and what is missing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lit_compacter.reports.bootstrap import LEVEL
from lit_compacter.reports.cells import CellResult, Value
from lit_compacter.reports.grid import Grid
from lit_compacter.reports.tables import Table
from lit_compacter.reports.titles import assignment, title_of
from lit_compacter.studies.run_warnings import group_warnings
from lit_compacter.studies.study import SEED, TASK

MARK = "†"
MAX_LISTED = 12  # missing cells that a note names


@dataclass(frozen=True)
class Missing:
    """A cell without a result, where no other cell stands in its stead."""

    cell: CellResult
    what: str  # its row, column, table and seed

    @property
    def reason(self) -> str:
        """Its state, in words."""
        return {"validated": "not tested", "started": "not complete"}.get(self.cell.state, self.cell.state)


def find_missing(grid: Grid) -> list[Missing]:
    """The missing cells, in the order of the tables."""
    found = []
    for fixed in grid.tables:
        for row in grid.rows:
            for column in grid.columns:
                for cell in grid.missing((fixed, row, column)):
                    of_task = [title_of(TASK, column)] if TASK in cell.values else []
                    of_table = [assignment(axis, value) for axis, value in fixed]
                    of_seed = [f"seed {cell.values[SEED]}"] if SEED in cell.values else []
                    found.append(Missing(cell, ", ".join([grid.row_title(row), *of_task, *of_table, *of_seed])))
    return found


def count_reasons(missing: Sequence[Missing]) -> str:
    """`2 failed, 3 not run`."""
    return ", ".join(f"{count} {reason}" for reason, count in Counter(m.reason for m in missing).items())


def make_notes(
    grid: Grid, tables: Sequence[Table], baseline: Value, num_resamples: int, missing: Sequence[Missing]
) -> list[str]:
    """The sentences below the tables, which depend on nothing but the results."""
    counted = [(entry, table.count) for table in tables for row in table.rows for entry in row.entries if entry]
    counts = sorted({table.count for table in tables})
    over = f"mean ± sample standard deviation over {' or '.join(map(str, counts))} seeds"
    seeds = over if counts[-1] > 1 else "of one seed"
    metric = f"{grid.metric}, the mean of the task's metrics," if grid.metric.endswith("score") else grid.metric
    told = [f"{metric} in percent; {seeds}. The best of each column is in bold."]
    if any(entry.count != count for entry, count in counted):
        told.append("n is the number of seeds where it differs.")
    if baseline is not None:
        name = grid.row_title(baseline)
        compared = sum(entry.p_value is not None for entry, _ in counted)
        told.append(
            f"{MARK} differs from {name}: p < {LEVEL} in a paired bootstrap over the test examples, {num_resamples:,} "
            "resamples, two-sided, not corrected for the number of comparisons."
            if compared
            else f"No difference from {name} was tested: that takes the test_predictions.jsonl of both runs."
        )
    with_result = [cell for place in grid.planned for cell in grid.results.get(place, {}).values()]
    warned = group_warnings([(cell.values, cell.warnings) for cell in with_result])
    told += [f"Warning of {line}." for line in warned]
    if missing:
        named = "; ".join(f"{m.what} ({m.reason})" for m in missing[:MAX_LISTED])
        more = f"; and {len(missing) - MAX_LISTED} more" if len(missing) > MAX_LISTED else ""
        told.append(f"Missing: {count_reasons(missing)}. {named}{more}.")
    return told
