"""Run a study, show how it goes, and say how it has ended."""

import sys

from lit_compacter.errors import UserError
from lit_compacter.results.records import read_warnings
from lit_compacter.runtime.signals import EXIT_RESUMABLE, Stopped
from lit_compacter.studies.display import Display
from lit_compacter.studies.engines import Engine
from lit_compacter.studies.folder import VERBS, StudyFolder
from lit_compacter.studies.run_warnings import group_warnings
from lit_compacter.studies.search.base import Search
from lit_compacter.utils.console import console


def run_study(search: Search, engine: Engine) -> None:
    """Run the cells of a study that are left.

    Args:
        search: Decides which cells run.
        engine: Runs them.

    Raises:
        UserError: Cells have failed; the others have run.
        SystemExit: The study or one of its cells was stopped.
    """
    folder = search.folder
    try:
        with Display(folder, search.verb) as display:
            have_ended = search.run(engine, display)
    except Stopped as stopped:
        stopped.message = f"{stopped.message}; {display.headline()}; the same command goes on"
        raise
    for line in _warnings(folder):
        console.print(f"warning: {line}", markup=False, soft_wrap=True, highlight=False)
    if failed := [f"{name}: {outcome.error}" for name, (_, outcome) in display.ended_cells.items() if outcome.error]:
        more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise UserError(
            f"{len(failed)} of {len(folder.cells)} cells failed: {failed[0]}{more}; {folder.progress} has a line for "
            "each; the same command tries them again"
        )
    if display.counts["stopped"]:  # by another program than this one
        console.print(f"{display.headline()}; the same command goes on", markup=False, soft_wrap=True)
        sys.exit(EXIT_RESUMABLE)
    if have_ended:
        console.print(f"{display.headline()}: {folder.path}", markup=False, soft_wrap=True)


def _warnings(folder: StudyFolder) -> list[str]:
    """The warnings of the cells that are trained, in one line each."""
    trained = [cell for cell in folder.cells if cell.has_done(folder.path, VERBS[0])]
    return group_warnings([(cell.values, read_warnings(cell.run_dir(folder.path))) for cell in trained])
