"""Paired bootstrap: whether the difference of two methods could be due to the choice of the test examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from lit_compacter.reports.cells import CellResult, Value
from lit_compacter.reports.grid import AVERAGE, Fixed, Grid, Place
from lit_compacter.reports.resampling import Array, Resampler
from lit_compacter.tasks.answer_metrics import INVALID_SHARE, SCORE, Outcomes
from lit_compacter.utils.jsonl import read_records
from lit_compacter.utils.run_files import OUTCOMES

SEED = 0  # of the resamples
CHUNK = 100  # resamples at once: 16 MB for 20,000 examples
ROUNDING = 1e-12  # a smaller difference is none
LEVEL = 0.05  # of significance

Runs = Mapping[Value, Mapping[Value, Resampler]]  # row → seed → run


def two_sided_p(differences: Array) -> float:
    """The p-value of a difference from its resamples: twice the share on the rarer side of 0, which is on both.

    The observed sample counts as one more resample on either side, so that the value is never 0 (Davison & Hinkley,
    1997, section 4.2).

    Args:
        differences: (R,) the difference in each resample.
    """
    at_most = np.sum(differences <= ROUNDING) + 1
    at_least = np.sum(differences >= -ROUNDING) + 1
    return float(min(1.0, 2 * min(at_most, at_least) / (len(differences) + 1)))


def p_values(
    grid: Grid, baseline: Value, num_resamples: int, progress: Callable[[], None] = lambda: None
) -> dict[Place, float]:
    """The p-value of each row's difference from the baseline, in each column and, where all are known, in the average.

    Both runs of a pair are scored on the same resample, and differences are averaged over the seeds that both have.
    The average resamples each task by itself. A place has no p-value if a run lacks its outcomes, or has been tested on
    other rows, or if the metric is not one of the test.

    Args:
        grid: The results.
        baseline: The row to compare with.
        num_resamples: Number of resamples.
        progress: Called once for each table and column.
    """
    found: dict[Place, float] = {}
    if not grid.metric.startswith("test/"):
        return found
    for fixed in grid.tables:
        differences: dict[Value, list[Array]] = {row: [] for row in grid.rows if row != baseline}
        for column in grid.columns:
            for row, difference in _compare(grid, fixed, column, baseline, num_resamples):
                differences[row].append(difference)
                found[fixed, row, column] = two_sided_p(difference)
            progress()
        for row, each in differences.items():
            if len(each) == len(grid.columns):
                found[fixed, row, AVERAGE] = two_sided_p(np.mean(each, axis=0))
    return found


def _compare(
    grid: Grid, fixed: Fixed, column: Value, baseline: Value, num_resamples: int
) -> Iterator[tuple[Value, Array]]:
    """Each row of a column that can be compared, with its differences from the baseline, (R,)."""
    runs = _read_runs(grid, fixed, column, baseline)
    of_baseline = runs.pop(baseline, {})
    pairs = {row: [seed for seed in of_row if seed in of_baseline] for row, of_row in runs.items()}
    pairs = {row: seeds for row, seeds in pairs.items() if seeds}
    if not pairs:
        return
    needed = {(baseline, seed) for seeds in pairs.values() for seed in seeds}
    needed |= {(row, seed) for row, seeds in pairs.items() for seed in seeds}
    every = runs | {baseline: of_baseline}
    # A generator for each task: the draws of tasks from one stream are alike, which would correlate their differences.
    rng = np.random.default_rng([SEED, *str(column).encode()])
    scores = _resample({place: every[place[0]][place[1]] for place in needed}, num_resamples, rng)
    for row, seeds in pairs.items():
        yield row, np.mean([scores[row, seed] - scores[baseline, seed] for seed in seeds], axis=0)


def _read_runs(grid: Grid, fixed: Fixed, column: Value, baseline: Value) -> dict[Value, dict[Value, Resampler]]:
    """The runs of a column whose outcomes are known and of the same rows as the baseline's."""
    runs: dict[Value, dict[Value, Resampler]] = {}
    expected: list[int] | None = None
    for row in (baseline, *(row for row in grid.rows if row != baseline)):
        for seed, cell in grid.results.get((fixed, row, column), {}).items():
            outcomes = read_outcomes(cell)
            if outcomes is None:
                continue
            rows = outcomes.rows.tolist()
            expected = expected or rows
            if rows == expected:
                runs.setdefault(row, {})[seed] = Resampler(outcomes, metric_names(cell, grid.metric))
        if not runs:
            return {}  # nothing to compare with
    return runs


def _resample(
    runs: Mapping[tuple[Value, Value], Resampler], count: int, rng: np.random.Generator
) -> dict[tuple[Value, Value], Array]:
    """The scores of all runs on the same resamples, (R,) each."""
    num_units = next(iter(runs.values())).num_units
    parts: dict[tuple[Value, Value], list[Array]] = {place: [] for place in runs}
    for start in range(0, count, CHUNK):
        drawn = rng.integers(num_units, size=(min(CHUNK, count - start), num_units))
        draws = np.stack([np.bincount(units, minlength=num_units) for units in drawn]).astype(float)
        for place, run in runs.items():
            parts[place].append(run.scores(draws))
    return {place: np.concatenate(scores) for place, scores in parts.items()}


def read_outcomes(cell: CellResult) -> Outcomes | None:
    """The outcomes of a cell's test; None if it has kept none."""
    records = list(read_records(cell.folder / OUTCOMES.format(verb="test")))
    return Outcomes.from_records(records) if records else None


def metric_names(cell: CellResult, metric: str) -> Sequence[str]:
    """The task's metrics whose mean is `metric`, a name such as test/score."""
    name = metric.removeprefix("test/")
    own = [known.removeprefix("test/") for known in cell.metrics if known.startswith("test/")]
    return [known for known in own if known not in (SCORE, INVALID_SHARE)] if name == SCORE else [name]
