"""`python main.py study --config studies/low_resource.yaml --output DIR`: run a grid of cells."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace, set_parsing_settings
from jsonargparse.typing import PositiveInt

from lit_compacter.cli.cli import ParsingCLI
from lit_compacter.cli.configs import find_config, read_config
from lit_compacter.cli.parser import Parser
from lit_compacter.cli.request import Request
from lit_compacter.cli.verbs import VERBS
from lit_compacter.errors import UserError
from lit_compacter.runtime.command import command_name
from lit_compacter.runtime.signals import Stopped
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.display import Display
from lit_compacter.studies.engines import LocalEngine
from lit_compacter.studies.folder import VERBS as CELL_VERBS
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.runner import Job
from lit_compacter.studies.selection import choose
from lit_compacter.studies.study import Study
from lit_compacter.utils.console import console

if TYPE_CHECKING:
    from lit_compacter.studies.optuna_search import OptunaSearch

PRESETS = "presets"


def main(args: Sequence[str]) -> None:
    """Parse the options of `study`, check those of its cells, and run them."""
    options = parse(args)
    study = Study(**{name: options[name] for name in Study.__dataclass_fields__})
    cells = study.cells() if study.optuna is None else import_optuna_search().first_cells(study)
    if options.output is None:
        raise UserError("study needs --output, a folder for the runs and their results")
    output = Path(options.output)
    check(cells if study.optuna is None else study.cells_to_check())
    if options.dry_run:
        if study.optuna is not None:
            print("# the first trial; optuna chooses the others by their results")
        for cell in cells:
            for verb in CELL_VERBS:
                print(command_name(), shlex.join(cell.command(output, verb)))
        return
    search = None if study.optuna is None else import_optuna_search().OptunaSearch(study, output, options.jobs)
    run(search.folder if search else StudyFolder(output, cells), bool(study.search), options.jobs, search)


def import_optuna_search() -> ModuleType:
    """The module that searches with optuna.

    Raises:
        UserError: optuna is not installed.
    """
    try:
        from lit_compacter.studies import optuna_search
    except ModuleNotFoundError as error:
        raise UserError(f"{error}: a search with optuna needs pip install 'lit-compacter[optuna]'") from error
    return optuna_search


def run(folder: StudyFolder, searches: bool, num_jobs: int, search: "OptunaSearch | None" = None) -> None:
    """Run the cells that are not finished, and report those that failed.

    Raises:
        UserError: A cell has failed.
    """
    engine = LocalEngine(num_jobs)
    verbs = CELL_VERBS[:1] if searches else CELL_VERBS
    try:
        with Display(folder, num_jobs, verbs[-1]) as display:
            if search:
                search.run(engine, display)
            else:
                left = [cell for cell in folder.cells if not cell.has_done(folder.path, verbs[-1])]
                engine.run([Job(cell, verbs) for cell in left], folder, display)
            if searches:
                chosen = choose(folder.cells, folder.path)
                left = [cell for cell in chosen if not cell.has_done(folder.path, CELL_VERBS[-1])]
                engine.run([Job(cell, CELL_VERBS) for cell in left], folder, display)
    except Stopped as stopped:
        stopped.message = f"{stopped.message}; {display.headline()}; the same command goes on"
        raise
    failed = [f"{name}: {outcome.error}" for name, (_, outcome) in display.ended_cells.items() if outcome.error]
    if failed:
        more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise UserError(
            f"{len(failed)} of {len(folder.cells)} cells failed: {failed[0]}{more}; {folder.progress} has a line for "
            "each; the same command tries them again"
        )
    console.print(f"all {len(folder.cells)} cells are finished: {folder.path}", markup=False, soft_wrap=True)


def check(cells: Sequence[Cell]) -> None:
    """Parse the options of as many cells as hold each value of each axis.

    Raises:
        UserError: An option, a task or a method is unknown or has a wrong value.
    """
    known: set[tuple[str, str]] = set()
    for cell in cells:
        values = {(axis, str(value)) for axis, value in {**cell.values, **cell.search}.items()}
        if values <= known:
            continue
        known |= values
        try:
            ParsingCLI("fit", Request.read(cell.options))
        except UserError as error:
            raise UserError(f"cell {cell.name}: {error}") from error


def parse(args: Sequence[str]) -> Namespace:
    """The options of the command line, based on those of the config files, changed by a preset.

    Raises:
        UserError: A file or an option is wrong, or there is no such preset.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("-c", "--config", action="append", default=[])
    first.add_argument("--preset")
    given, rest = first.parse_known_args(args)
    content: dict[str, Any] = {}
    for name in given.config:
        content = merge(content, read_config(find_config(name)))
    presets = content.pop(PRESETS, {})
    if given.preset is not None:
        if given.preset not in presets:
            raise UserError(f"no preset {given.preset!r}; expected one of {', '.join(presets) or 'none'}")
        content = merge(content, presets[given.preset])
    parser = make_parser()
    options: Namespace = parser.parse_args(rest, namespace=parser.parse_object(content, defaults=False))
    return options


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The base with changes: mappings are merged, all else is replaced."""
    merged = dict(base)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(name), dict)
        merged[name] = merge(base[name], value) if both else value
    return merged


def make_parser() -> Parser:
    """A parser for the options of `study`."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)  # the help of the study's fields
    parser = Parser(prog=f"{command_name()} study", description=VERBS["study"])
    parser.add_argument("-c", "--config", metavar="FILE", help="Study: a path, or a name in configs/studies/.")
    parser.add_argument(
        "--preset", type=str | None, metavar="NAME", help="Changes that the study file lists, such as smoke."
    )
    parser.add_argument(
        "--output", type=str | None, metavar="DIR", help="Folder of the study. An interrupted one goes on."
    )
    parser.add_argument("--jobs", type=PositiveInt, default=1, help="Cells that run at a time.")
    parser.add_argument("--dry_run", action="store_true", help="Print the commands of all cells and run none.")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    parser.add_class_arguments(Study)
    return parser
