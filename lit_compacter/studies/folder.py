"""The folder of a study.

DIR/
    cells.json         every cell: its values, its options, and the arguments of its commands
    progress.jsonl     one line for each time a cell ends: finished, failed, stopped or pruned
    cells/NAME/        the run directory of a cell
    logs/NAME.log      what its processes printed
    chosen.json        names of the cells that a search has chosen on validation rows
    slurm/             scripts for --engine slurm
    optuna.db          the trials of a search with optuna
    pruned/NAME        the mark of a cell that it has ended early
    .locks/            held while a cell runs
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from lit_compacter.errors import UserError
from lit_compacter.studies.cell import Cell
from lit_compacter.utils.atomic import atomic_write

CELLS_FILE, CHOSEN, PROGRESS, LOGS, LOCKS = "cells.json", "chosen.json", "progress.jsonl", "logs", ".locks"
LOCK = ".lock"  # held while the file of cells is compared and written
VERBS = ("fit", "test")  # of a cell, in this order


class StudyFolder:
    """The folder of a study, created if it is absent.

    Args:
        path: The folder.
        cells: The cells of the study. They may add to those that the folder knows, as for another seed.

    Raises:
        UserError: The folder holds another study, or something else.
    """

    def __init__(self, path: Path, cells: Sequence[Cell]) -> None:
        self.path, self.cells = path, list(cells)
        self.num_expected = len(self.cells)  # more if a search adds cells
        path.mkdir(parents=True, exist_ok=True)
        with FileLock(path / LOCK):  # several processes may start on one study
            self._refuse_others()
            self._write()

    def add(self, cells: Sequence[Cell]) -> None:
        """Add those cells that it does not have yet."""
        with FileLock(self.path / LOCK):
            known = {cell.name for cell in self.cells}
            self.cells += [cell for cell in cells if cell.name not in known]
            self._write()

    def keep_choice(self, cells: Sequence[Cell]) -> None:
        """Write the names of the cells that a search has chosen, for the report.

        A later start may choose others, as when a failed cell has finished.
        """
        with atomic_write(self.path / CHOSEN) as temporary:
            temporary.write_text(json.dumps([cell.name for cell in cells], indent=1) + "\n")

    def log(self, cell: Cell) -> Path:
        """The file with what the processes of a cell print."""
        return self.path / LOGS / f"{cell.name}.log"

    @property
    def locks(self) -> Path:
        """The folder of the locks that are held while a cell runs."""
        return self.path / LOCKS

    @property
    def progress(self) -> Path:
        """The file with one line for each time a cell ends."""
        return self.path / PROGRESS

    def _refuse_others(self) -> None:
        file = self.path / CELLS_FILE
        if not file.exists():
            if any(entry.name != LOCK for entry in self.path.iterdir()):
                raise UserError(f"{self.path} holds other files, and no study; give a new --output")
            return
        known = {entry["name"]: entry["options"] for entry in json.loads(file.read_text())}
        options = {cell.name: list(cell.options) for cell in self.cells}
        for name, before in known.items():
            if name not in options:
                raise UserError(f"{self.path} holds another study, with the cell {name}; give a new --output")
            if before != options[name]:
                differing = sorted({*before} ^ {*options[name]}) or ["the order of options"]
                raise UserError(
                    f"{self.path} holds another study: {name} differs in {', '.join(differing)}; give a new --output"
                )

    def _write(self) -> None:
        with atomic_write(self.path / CELLS_FILE) as temporary:
            temporary.write_text(json.dumps([self._describe(cell) for cell in self.cells], indent=1) + "\n")

    def _describe(self, cell: Cell) -> dict[str, Any]:
        return {
            "name": cell.name,
            "values": cell.values,
            "search": cell.search,
            "options": cell.options,
            "commands": [cell.command(self.path, verb) for verb in VERBS],
        }
