"""The report as one HTML page, which needs no network."""

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from lit_compacter.reports.cells import CellResult, StudyResults, is_number
from lit_compacter.reports.grid import Grid
from lit_compacter.reports.notes import MARK, Missing
from lit_compacter.reports.style import Drawing, inline
from lit_compacter.reports.tables import Entry, Row, Table
from lit_compacter.reports.texts import NOTHING, PARAMETERS, entry_texts, parameter_texts
from lit_compacter.reports.titles import title_of
from lit_compacter.runtime.command import command_name
from lit_compacter.studies.study import METHOD, SEED, TASK
from lit_compacter.utils.run_files import BEST_SCORE, CONFIG

GB = 1024  # MB
MEASURED = ("peak memory", "time")  # of each cell


@dataclass(frozen=True)
class Datum:
    """A cell of a table of the page: what it shows, what it is sorted by, and how it looks."""

    text: str
    sort: float | str = ""
    mark: str = ""  # of significance
    below: str = ""  # shown below it, smaller
    hint: str = ""  # shown when the mouse is over it
    is_best: bool = False


def make_page(
    study: StudyResults,
    grid: Grid,
    tables: Sequence[Table],
    notes: Sequence[str],
    missing: Sequence[Missing],
    drawings: Sequence[Drawing],
    output: Path,
) -> str:
    """Render the page.

    Args:
        study: All cells.
        grid: Their results.
        tables: The tables.
        notes: The sentences below the tables.
        missing: The cells without a result.
        drawings: The figures.
        output: The folder of the page, from which it links to the runs.
    """
    loader = PackageLoader("lit_compacter.reports")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("report.html").render(
        name=study.name,
        tiles=_tiles(study, grid),
        tables=[{"title": table.title, "header": _header(grid, table), "rows": _rows(table)} for table in tables],
        notes=notes,
        missing=missing,
        figures=[{"drawing": drawing, "svg": inline(drawing)} for drawing in drawings],
        cells=_cell_rows(study, grid, output),
        cells_header=[*study.axes, *_searched(study), "state", grid.metric, BEST_SCORE, *PARAMETERS[:1], *MEASURED],
        environments=_environments(study),
    )


def _tiles(study: StudyResults, grid: Grid) -> list[tuple[str, str]]:
    """Label and number of each tile at the top."""
    states = Counter(cell.state for cell in study.cells)
    tiles = [("cells", str(len(study.cells))), *((state, str(count)) for state, count in sorted(states.items()))]
    for axis, plural in ((METHOD, "methods"), (TASK, "tasks"), (SEED, "seeds")):
        if axis in study.axes:
            tiles.append((plural, str(len(study.values(axis)))))
    if seconds := sum(_seconds(cell) or 0 for cell in study.cells):
        tiles.append(("time in all", duration(seconds)))
    return tiles


def _header(grid: Grid, table: Table) -> list[str]:
    return [grid.row_axis or "", *table.titles, *PARAMETERS]


def _rows(table: Table) -> list[list[Datum]]:
    return [
        [Datum(row.title, row.title), *(_entry(entry, table.count) for entry in row.entries), *_parameters(row)]
        for row in table.rows
    ]


def _entry(entry: Entry | None, count: int) -> Datum:
    if entry is None:
        return Datum(NOTHING)
    mean, std = entry_texts(entry)
    hint = f"{entry.count} of {count} seeds" + ("" if entry.p_value is None else f", p = {entry.p_value:.3g}")
    below = [f"± {std}"] * bool(std) + [f"n = {entry.count}"] * (entry.count != count)
    return Datum(mean, entry.mean, MARK * entry.is_significant, ", ".join(below), hint, entry.is_best)


def _parameters(row: Row) -> list[Datum]:
    numbers = row.trained[0] if row.trained else "", row.share[0] if row.share else ""
    return [Datum(text, number) for text, number in zip(parameter_texts(row), numbers, strict=True)]


def _searched(study: StudyResults) -> list[str]:
    return list(dict.fromkeys(option for cell in study.cells for option in cell.search))


def _cell_rows(study: StudyResults, grid: Grid, output: Path) -> list[dict[str, Any]]:
    searched = _searched(study)
    return [
        {
            "cell": cell,
            "values": [
                *(_value(axis, cell.values) for axis in study.axes),
                *(_value(option, cell.search) for option in searched),
            ],
            "results": [_score(cell, grid.metric), _score(cell, BEST_SCORE), *_resources(cell)],
            "config": _link(cell.folder / CONFIG, output),
            "commands": "\n".join(f"{command_name()} {shlex.join(command)}" for command in cell.commands),
        }
        for cell in study.cells
    ]


def _value(axis: str, values: Mapping[str, Any]) -> Datum:
    if axis not in values:
        return Datum(NOTHING)
    value = values[axis]
    return Datum(title_of(axis, value), value if is_number(value) else title_of(axis, value))


def _score(cell: CellResult, metric: str) -> Datum:
    score = cell.metrics.get(metric)
    return Datum(NOTHING) if score is None else Datum(f"{100 * score:.2f}", score)


def _resources(cell: CellResult) -> list[Datum]:
    trained, memory = (cell.resources.get(name) for name in ("trained_parameters", "peak_memory_mb"))
    seconds = _seconds(cell)
    return [
        Datum(NOTHING) if trained is None else Datum(f"{trained:,}", trained),
        Datum(NOTHING) if memory is None else Datum(f"{memory / GB:.2f} GB", memory),
        Datum(NOTHING) if seconds is None else Datum(duration(seconds), seconds),
    ]


def _seconds(cell: CellResult) -> float | None:
    """How long a cell took; if only its run is known, the training alone."""
    return cell.resources.get("seconds") if cell.seconds is None else cell.seconds


def _link(path: Path, output: Path) -> str | None:
    return quote(Path(os.path.relpath(path.resolve(), output.resolve())).as_posix()) if path.exists() else None


def _environments(study: StudyResults) -> list[tuple[str, int]]:
    """`CPU, 2 threads, AVX2; torch 2.13.0, …` → the number of cells that were trained there."""
    found: Counter[str] = Counter()
    for cell in study.cells:
        if known := dict(cell.resources.get("environment", {})):
            machine = known.pop("machine", "unknown machine")
            found[f"{machine}; {', '.join(f'{name} {version}' for name, version in known.items())}"] += 1
    return sorted(found.items())


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s` or `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    return f"{minutes // 60:,} h {minutes % 60:02} min"
