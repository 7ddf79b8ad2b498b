"""The figures of a report."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from lit_compacter.reports.cells import Value, is_number
from lit_compacter.reports.grid import SINGLE, Fixed, Grid
from lit_compacter.reports.labels import place_labels
from lit_compacter.reports.style import INK, Drawing, add_legend, figure_style, look, make_panels, save
from lit_compacter.reports.tables import Entry, Row, Table
from lit_compacter.reports.titles import assignment, file_name, title_of
from lit_compacter.results.learning_curve import read_history
from lit_compacter.studies.study import TASK
from lit_compacter.utils.run_files import SCORE

LARGEST = 700  # points², the area of the circle for the most memory
PLAIN = 60  # the area of all circles if a run's memory is unknown
GB = 1024  # MB
MARKED = 25  # points; on a curve with more, markers would hide each other
Curve = tuple[Sequence[float], Sequence[float], Sequence[float]]  # x, mean, standard deviation


def draw_figures(
    grid: Grid, tables: Sequence[Table], folder: Path, progress: Callable[[], None] = lambda: None
) -> list[Drawing]:
    """Draw all figures that the results allow, as PNG and SVG.

    Args:
        grid: The results.
        tables: The tables made from them.
        folder: Where to write the files.
        progress: Called after each figure.
    """
    makers: list[Callable[[], Drawing | None]] = []
    makers += [lambda table=table: _draw_parameters(grid, table, folder) for table in tables]  # type: ignore[misc]
    makers += [lambda axis=axis: _draw_axis(grid, tables, axis, folder) for axis in numeric_axes(grid)]  # type: ignore[misc]
    for draw in (_draw_learning_curves, _draw_seeds):
        makers += [lambda table=table, draw=draw: draw(grid, table, folder) for table in tables]  # type: ignore[misc]
    drawings = []
    with figure_style():
        for make in makers:
            drawings.append(make())
            progress()
    return [drawing for drawing in drawings if drawing]


def count_figures(grid: Grid) -> int:
    """The number of figures that `draw_figures` tries to draw."""
    return 3 * len(grid.tables) + len(numeric_axes(grid))


def numeric_axes(grid: Grid) -> list[str]:
    """The axes besides rows and columns whose values are two or more different numbers."""
    values: dict[str, set[Value]] = defaultdict(set)
    for fixed in grid.tables:
        for axis, value in fixed:
            values[axis].add(value)
    return [axis for axis, found in values.items() if len(found) > 1 and all(map(is_number, found))]


def _draw_parameters(grid: Grid, table: Table, folder: Path) -> Drawing | None:
    """Score against trained parameters, as in the paper's figure 1; the circle's area is the peak memory."""
    column = len(table.columns) - 1  # the average, or the only column
    known: list[tuple[Row, Entry, int]] = [
        (row, entry, row.trained[0]) for row in table.rows if row.trained and (entry := row.entries[column])
    ]
    if not known:
        return None
    memory = [_peak_memory(grid, table.fixed, row.value) for row, _, _ in known]
    per_mb = LARGEST / max(memory) if all(memory) else 0
    areas = [mb * per_mb or PLAIN for mb in memory]
    x, y = [trained for _, _, trained in known], [entry.mean for _, entry, _ in known]
    figure, (axes,) = make_panels([""], 8.5, 5)
    colors = [look(table.rows.index(row))["color"] for row, _, _ in known]
    axes.scatter(x, y, s=areas, c=colors, alpha=0.5, linewidths=0.8, edgecolors=colors)
    axes.set_xscale("log")
    axes.set_xlabel("trained parameters")
    axes.set_ylabel(f"{table.titles[column]} {grid.metric}, %" if len(table.columns) > 1 else f"{grid.metric}, %")
    axes.margins(0.12, 0.15)
    if per_mb:
        for mb in _round_numbers(max(memory)):
            axes.scatter([], [], s=mb * per_mb, c="none", edgecolors=INK, label=_memory_text(mb))
        axes.legend(title="peak memory", loc="upper left", bbox_to_anchor=(1.01, 1), labelspacing=1.6, borderpad=1)
    place_labels(axes, x, y, [row.title for row, _, _ in known], [math.sqrt(area) / 2 for area in areas])
    caption = f"Score against trained parameters{'; the circle’s area is the peak memory of training' * bool(per_mb)}."
    if left_out := [row.title for row in table.rows if row not in [row for row, _, _ in known]]:
        caption += f" Without {', '.join(left_out)}, which {'lacks' if len(left_out) == 1 else 'lack'} results."
    return save(figure, folder, _name("score_and_parameters", grid, table), _title("Efficiency", table), caption)


def _draw_axis(grid: Grid, tables: Sequence[Table], axis: str, folder: Path) -> Drawing | None:
    """Score against a numeric axis: low-resource curves with bands."""
    with_axis = [table for table in tables if axis in dict(table.fixed)]
    others = list(dict.fromkeys(_without(table.fixed, axis) for table in with_axis))
    columns, titles = tables[0].columns, tables[0].titles
    panels = [(fixed, number) for fixed in others for number in range(len(columns))]
    names = [", ".join([titles[n], *(assignment(*pair) for pair in fixed)]) for fixed, n in panels]
    figure, all_axes = make_panels(names, 3.2, 2.8)
    for (fixed, column), axes in zip(panels, all_axes, strict=True):
        of_panel = [table for table in with_axis if _without(table.fixed, axis) == fixed]
        ticks = sorted(float(dict(table.fixed)[axis]) for table in of_panel)  # type: ignore[arg-type]
        for number, row in enumerate(grid.rows):
            points = [(float(dict(t.fixed)[axis]), t.rows[number].entries[column]) for t in of_panel]  # type: ignore[arg-type]
            found = sorted((x, e.mean, e.std or 0.0) for x, e in points if e)
            if found:
                _plot(axes, tuple(zip(*found, strict=True)), number, grid.row_title(row))  # type: ignore[arg-type]
        if ticks[0] > 0:
            axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.tick_params(axis="x", rotation=45 if len(ticks) > 5 else 0)
        axes.set_xlabel(axis)
        axes.set_ylabel(f"{grid.metric}, %")
    add_legend(figure, all_axes)
    caption = f"Score against {axis}: mean over seeds, and a band of one standard deviation on either side."
    return save(figure, folder, f"score_by_{file_name(axis)}", f"Score by {axis}", caption)


def _draw_learning_curves(grid: Grid, table: Table, folder: Path) -> Drawing | None:
    """The validation score by optimizer step: mean over seeds, for each task; None if no run has two validations."""
    figure, all_axes = make_panels(_panel_titles(grid), 3.2, 2.6)
    most = 0  # points of a line
    for column, axes in zip(grid.columns, all_axes, strict=True):
        for number, row in enumerate(grid.rows):
            cells = list(grid.results.get((table.fixed, row, column), {}).values())
            if curve := mean_curve([read_history(cell.folder).get(SCORE, {}) for cell in cells]):
                _plot(axes, curve, number, grid.row_title(row))
                most = max(most, len(curve[0]))
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(f"{SCORE}, %")
    if most < 2:
        return None
    add_legend(figure, all_axes)
    caption = "Validation score during training: mean over the seeds that have reached the step, with a band of one "
    caption += "standard deviation on either side."
    return save(figure, folder, _name("learning_curves", grid, table), _title("Learning curves", table), caption)


def _draw_seeds(grid: Grid, table: Table, folder: Path) -> Drawing | None:
    """Each seed's score as a dot, for each method and task."""
    height = 0.9 + 0.22 * len(grid.rows)
    figure, all_axes = make_panels(_panel_titles(grid), 2.9, max(2.0, height), share_y=True)
    for column, axes in zip(grid.columns, all_axes, strict=True):
        for number, row in enumerate(grid.rows):
            scores = list(grid.scores((table.fixed, row, column)).values())
            axes.scatter(scores, [number] * len(scores), s=22, color=look(number)["color"], alpha=0.75, linewidths=0)
            if scores:
                axes.scatter([np.mean(scores)], [number], marker="|", s=110, color=INK, linewidths=1.2)
        axes.set_xlabel(f"{grid.metric}, %")
        axes.set_yticks(range(len(grid.rows)), [grid.row_title(row) for row in grid.rows])
    all_axes[0].set_ylim(len(grid.rows) - 0.5, -0.5)
    caption = "Each dot is a run, of one seed; the line is their mean."
    return save(figure, folder, _name("seeds", grid, table), _title("Seeds", table), caption)


def mean_curve(series: Sequence[dict[int, float]]) -> Curve | None:
    """Mean and standard deviation (0 for a single run) in percent of some runs by step; None if there are none."""
    steps = sorted({step for one in series for step in one})
    if not steps:
        return None
    values = [[100 * one[step] for one in series if step in one] for step in steps]
    stds = [float(np.std(at_step, ddof=1)) if len(at_step) > 1 else 0.0 for at_step in values]
    return steps, [float(np.mean(at_step)) for at_step in values], stds


def _plot(axes: Axes, curve: Curve, number: int, label: str) -> None:
    x, mean, std = (np.array(values, dtype=float) for values in curve)
    options = look(number)
    size = 4 if len(x) <= MARKED else 0
    axes.plot(x, mean, label=label, linewidth=1.3, markersize=size, **options)  # type: ignore[arg-type]
    axes.fill_between(x, mean - std, mean + std, color=options["color"], alpha=0.12, linewidth=0)


def _peak_memory(grid: Grid, fixed: Fixed, row: Value) -> float:
    """The most memory of a method's runs in MB; 0 if it is unknown."""
    by_seed = [grid.results.get((fixed, row, column), {}) for column in grid.columns]
    cells = [cell for of_seeds in by_seed for cell in of_seeds.values()]
    return max((float(cell.resources.get("peak_memory_mb", 0)) for cell in cells), default=0)


def _round_numbers(most: float) -> list[float]:
    """Three amounts of memory up to `most` MB, for a legend: powers of two."""
    largest = 2 ** math.floor(math.log2(most))
    return [largest / 4, largest / 2, largest]


def _memory_text(mb: float) -> str:
    return f"{mb / GB:g} GB" if mb >= GB else f"{mb:g} MB"


def _panel_titles(grid: Grid) -> list[str]:
    return ["" if column == SINGLE else title_of(TASK, column) for column in grid.columns]


def _without(fixed: Fixed, axis: str) -> Fixed:
    return tuple(pair for pair in fixed if pair[0] != axis)


def _title(what: str, table: Table) -> str:
    return f"{what}: {table.title}" if table.title else what


def _name(what: str, grid: Grid, table: Table) -> str:
    """`seeds`, `seeds-2` and so on: numbered as the labels in tables.tex: values may be long, or look alike."""
    number = grid.tables.index(table.fixed) + 1
    return what if number == 1 else f"{what}-{number}"
