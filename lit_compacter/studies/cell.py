"""A cell of a study: one run, from its options to its results on disk."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_compacter.checkpoints.paths import BEST, CHECKPOINTS, LAST
from lit_compacter.results.records import own_results
from lit_compacter.utils.run_files import CONFIG, METRICS

CELLS = "cells"  # the folder of the run directories in that of the study
PRUNED = "pruned"  # the folder of the marks of cells that were ended early


@dataclass(frozen=True)
class Cell:
    """One run of a study: `fit`, then `test` with its best checkpoint, or its last one if no validation has chosen any.

    Attributes:
        name: Name of its run directory.
        values: Axis → value.
        search: Searched option → value; empty without a search.
        options: The arguments of `fit` that make this cell, without those for its run directory.
    """

    name: str
    values: Mapping[str, Any]
    options: tuple[str, ...]
    search: Mapping[str, Any] = field(default_factory=dict)

    def run_dir(self, study: Path) -> Path:
        """Its run directory in the folder of a study."""
        return study / CELLS / self.name

    def command(self, study: Path, verb: str) -> list[str]:
        """The arguments after `main.py` that run one of its verbs. `fit` goes on where an earlier one was stopped.

        Args:
            study: Folder of the study.
            verb: fit or test.
        """
        if verb == "fit":
            root = f"--trainer.default_root_dir={study / CELLS}"
            return ["fit", *self.options, root, f"--run_name={self.name}", "--ckpt_path=last"]
        run_dir = self.run_dir(study)
        was_validated = (run_dir / CHECKPOINTS / BEST).exists() or not (run_dir / CHECKPOINTS / LAST).exists()
        which = "best" if was_validated else "last"  # a short run may end before the first validation
        return [verb, f"--config={run_dir / CONFIG}", f"--run_name={self.name}", f"--ckpt_path={which}"]

    def prune_mark(self, study: Path) -> Path:
        """A file that exists if the cell is to end early. Every engine sees it in the folder of the study."""
        return study / PRUNED / self.name

    def is_pruned(self, study: Path) -> bool:
        """Whether the cell has ended early, or will."""
        return self.prune_mark(study).exists()

    def has_done(self, study: Path, verb: str) -> bool:
        """Whether the cell's own results of `fit` or `test` are complete. A user may have tested it on other data."""
        return verb in own_results(self.run_dir(study))

    def metrics(self, study: Path) -> dict[str, float]:
        """Its results so far; none before `fit` has ended."""
        path = self.run_dir(study) / METRICS
        return dict(json.loads(path.read_text())) if path.exists() else {}
