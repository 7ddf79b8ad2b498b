"""The cells of a report, read from the folder of a study: what was planned, and what became of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lit_compacter.errors import UserError
from lit_compacter.results.metrics_file import RESOURCES
from lit_compacter.results.records import read_warnings
from lit_compacter.studies.cell import CELLS
from lit_compacter.studies.folder import CELLS_FILE, CHOSEN, PROGRESS
from lit_compacter.utils.jsonl import read_records
from lit_compacter.utils.run_files import BEST_SCORE, CONFIG, METRICS, TEST_SCORE

Value: TypeAlias = str | int | float | bool | None  # of an axis; a list is its JSON
State = Literal["finished", "validated", "failed", "stopped", "pruned", "started", "not run"]


@dataclass(frozen=True)
class CellResult:
    """A planned run, and what became of it.

    Attributes:
        name: Its name in the study.
        values: Axis → value.
        search: Option → value of a search for hyperparameters. Several cells then have equal values, and the one that
            is chosen on the validation rows is tested.
        commands: The commands that make it, each a list of arguments after `main.py`.
        folder: Its run folder, which need not exist.
        state: What became of it; validated: trained but not tested; pruned: ended early by a search.
        error: Why it failed.
        seconds: How long it took, as the study has recorded it.
        metrics: The run's own results.
        resources: What its fit took, as metrics.json has it; empty if unknown.
        warnings: What its results should be read with.
    """

    name: str
    values: Mapping[str, Value]
    search: Mapping[str, Value]
    commands: Sequence[Sequence[str]]
    folder: Path
    state: State
    error: str | None = None
    seconds: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class StudyResults:
    """The cells of a report, in their order, and a name for its title."""

    name: str
    cells: Sequence[CellResult]

    @property
    def axes(self) -> list[str]:
        """The axes, in the order in which they occur."""
        return list(dict.fromkeys(axis for cell in self.cells for axis in cell.values))

    def values(self, axis: str) -> list[Value]:
        """The values of an axis: numbers by size, others in the order in which they occur."""
        found = list(dict.fromkeys(cell.values[axis] for cell in self.cells if axis in cell.values))
        return sorted(found) if all(is_number(value) for value in found) else found  # type: ignore[type-var]


def is_number(value: Value) -> bool:
    """Whether a value is a number and not a truth."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_study(folder: Path) -> bool:
    """Whether a folder holds a study."""
    return (folder / CELLS_FILE).is_file()


def read_study(folder: Path) -> StudyResults:
    """Read the cells of a study with what is known of each.

    Args:
        folder: The folder of the study.

    Raises:
        UserError: cells.json is damaged.
    """
    path, choice = folder / CELLS_FILE, folder / CHOSEN
    progress = {str(record.get("cell")): record for record in read_records(folder / PROGRESS)}
    try:
        entries = json.loads(path.read_bytes())
        chosen = json.loads(choice.read_bytes()) if choice.exists() else [entry["name"] for entry in entries]
        cells = [_read_cell(folder / CELLS, entry, progress, chosen) for entry in entries]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not a study's list of cells ({error}); run the study again to write it") from error
    return StudyResults(folder.resolve().name, cells)


def _read_cell(
    root: Path, entry: Mapping[str, Any], progress: Mapping[str, Mapping[str, Any]], chosen: Sequence[str]
) -> CellResult:
    folder, last = root / entry["name"], progress.get(entry["name"], {})
    metrics, resources = read_metrics(folder)
    if entry["name"] not in chosen:  # a search had chosen and tested it before it knew of better ones
        metrics = {name: value for name, value in metrics.items() if not name.startswith("test/")}
    state: State = "not run"
    if TEST_SCORE in metrics:
        state = "finished"
    elif last.get("state") in ("failed", "stopped", "pruned"):
        state = last["state"]
    elif last or BEST_SCORE in metrics:
        state = "validated"
    elif (folder / CONFIG).exists():
        state = "started"
    return CellResult(
        name=entry["name"],
        values=plain_values(entry["values"]),
        search=plain_values(entry.get("search") or {}),
        commands=entry.get("commands") or [],
        folder=folder,
        state=state,
        error=last.get("error") if state == "failed" else None,
        seconds=last.get("seconds"),
        metrics=metrics,
        resources=resources,
        warnings=read_warnings(folder),
    )


def read_metrics(folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """The results of a run itself, and the resources of its fit; empty if there are none.

    Raises:
        UserError: metrics.json is damaged.
    """
    path = folder / METRICS
    try:
        content = json.loads(path.read_bytes()) if path.exists() else {}
        return {name: float(x) for name, x in content.items() if is_number(x)}, content.get(RESOURCES, {})
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}); evaluate the run again to write it") from error


def plain_values(values: Mapping[str, Any]) -> dict[str, Value]:
    """Values that can be compared and looked up: a list or mapping becomes its JSON."""
    return {
        name: json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value
        for name, value in values.items()
    }
