"""Make a report: tables, figures and a page from the cells of a study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from lit_compacter.reports.bootstrap import p_values
from lit_compacter.reports.cells import StudyResults
from lit_compacter.reports.figures import count_figures, draw_figures
from lit_compacter.reports.grid import find_baseline, make_grid
from lit_compacter.reports.latex import as_latex
from lit_compacter.reports.notes import Missing, count_reasons, find_missing, make_notes
from lit_compacter.reports.page import make_page
from lit_compacter.reports.tables import make_tables
from lit_compacter.reports.texts import as_csv, as_markdown
from lit_compacter.utils.atomic import atomic_write
from lit_compacter.utils.console import console

PAGE = "index.html"


@dataclass(frozen=True)
class Report:
    """What was written, and what is missing in it."""

    page: Path
    missing: Sequence[Missing]

    @property
    def summary(self) -> str | None:
        """`missing: 2 failed, 3 not run; …` in one line, with an error; None if nothing is missing."""
        if not self.missing:
            return None
        errors = (f"; {m.what}: {m.cell.error}" for m in self.missing if m.cell.error)
        return f"missing: {count_reasons(self.missing)}{next(errors, '')}"


def write_report(study: StudyResults, output: Path, metric: str, baseline: str | None, num_resamples: int) -> Report:
    """Write all files of a report.

    Args:
        study: The cells.
        output: The folder to write to. Files of an earlier report are replaced.
        metric: The result that is compared, such as test/score.
        baseline: The row that the others are compared with, or `none`. Default: the first.
        num_resamples: Number of resamples of the bootstrap.

    Raises:
        UserError: There is no result, or no such metric or baseline.
    """
    grid = make_grid(study, metric)
    row = find_baseline(grid, baseline)
    output.mkdir(parents=True, exist_ok=True)
    with Progress(console=console, transient=True) as progress:
        compared = {}
        if row is not None:
            steps = len(grid.tables) * len(grid.columns)
            compared = p_values(grid, row, num_resamples, _advance(progress, "comparing", steps))
        tables, missing = make_tables(grid, compared), find_missing(grid)
        notes = make_notes(grid, tables, row, num_resamples, missing)
        drawings = draw_figures(grid, tables, output, _advance(progress, "drawing", count_figures(grid)))
    texts = {
        "tables.md": as_markdown(tables, notes),
        "tables.csv": as_csv(grid, tables),
        "tables.tex": as_latex(tables, notes),
        PAGE: make_page(study, grid, tables, notes, missing, drawings, output),
    }
    for name, text in texts.items():
        with atomic_write(output / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return Report(output / PAGE, missing)


def _advance(progress: Progress, description: str, steps: int) -> Callable[[], None]:
    task = progress.add_task(description, total=steps)
    return lambda: progress.advance(task)
