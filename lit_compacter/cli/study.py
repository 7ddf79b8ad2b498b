"""`python main.py study --config studies/low_resource.yaml --output DIR`: run a grid of cells.

`parse` needs no slow imports, so that --help and mistakes are answered at once.
"""

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from jsonargparse import Namespace, set_parsing_settings

from lit_compacter.cli.configs import find_config, read_config
from lit_compacter.cli.plain_parser import PlainParser
from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.runtime.command import command_name
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.engines import ENGINES, EngineOptions
from lit_compacter.studies.folder import VERBS as CELL_VERBS
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.search.grid_search import Grid, GridSearch
from lit_compacter.studies.study import Study
from lit_compacter.utils.console import console

PRESETS = "presets"
ENGINE_OPTIONS = [field.name for field in fields(EngineOptions) if field.name != "command"]


def main(args: Sequence[str]) -> None:
    """Parse the options of `study`, check those of its cells, and run them."""
    from lit_compacter.studies.run import run_study

    options = parse(args)
    if options.output is None:
        raise UserError("study needs --output, a folder for the runs and their results")
    study, output = Study(**{field.name: options[field.name] for field in fields(Study)}), Path(options.output)
    with_optuna = None if study.optuna is None else import_optuna_search()
    all_cells = with_optuna.first_cells(study) if with_optuna else study.cells()
    cells = select(all_cells, options.only)
    check(study.cells_to_check() if with_optuna else cells)
    if options.dry_run:
        for cell in cells:
            for verb in CELL_VERBS:
                command = f"{command_name()} {shlex.join(cell.command(output, verb))}"
                console.print(command, markup=False, soft_wrap=True, highlight=False)
        return
    engine_options = EngineOptions(["study", *without_engine(args)], **{name: options[name] for name in ENGINE_OPTIONS})
    engine = ENGINES[options.engine](engine_options)
    if with_optuna:
        if options.only or options.engine == "slurm":
            raise UserError("optuna chooses cells by the results of others: use --engine local or ray, and no --only")
        run_study(with_optuna.OptunaSearch(study, output, options.jobs or 1), engine)
    else:
        run_study((GridSearch if study.search else Grid)(StudyFolder(output, all_cells), cells), engine)


def import_optuna_search() -> ModuleType:
    """The module that searches with optuna.

    Raises:
        UserError: optuna is not installed.
    """
    try:
        from lit_compacter.studies.search import optuna_search
    except ModuleNotFoundError as error:
        raise UserError(f"{error}: a search with optuna needs pip install 'lit-compacter[optuna]'") from error
    return optuna_search


def select(cells: Sequence[Cell], names: Sequence[str] | None) -> list[Cell]:
    """The cells of `--only`.

    Raises:
        UserError: There is no cell of a name.
    """
    known = {cell.name: cell for cell in cells}
    for name in names or ():
        if name not in known:
            raise UserError(f"--only: the study has no cell {name}{did_you_mean(name, known)}; --dry_run lists them")
    return [cell for cell in cells if names is None or cell.name in names]


def without_engine(args: Sequence[str]) -> list[str]:
    """The arguments of `study` without those that say which cells run, and where."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--only", nargs="+")
    for name in ("engine", *ENGINE_OPTIONS):
        parser.add_argument(f"--{name}")
    return parser.parse_known_args(args)[1]


def check(cells: Sequence[Cell]) -> None:
    """Check every value of every axis: parse the options of as many cells as hold them.

    Raises:
        UserError: An option, a task or a method is unknown or has a wrong value.
    """
    from lit_compacter.cli.cli import ParsingCLI
    from lit_compacter.cli.request import Request

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
    presets = content.pop(PRESETS, None) or {}
    if given.preset is not None:
        if given.preset not in presets:
            known = f"expected one of {', '.join(presets)}" if presets else "the study file lists none"
            raise UserError(f"no preset {given.preset!r}; {known}{did_you_mean(given.preset, presets)}")
        content = merge(content, presets[given.preset] or {})
    content = {name: value for name, value in content.items() if value is not None}  # a section without options
    parser = make_parser()
    names = list(parser.get_defaults().keys())  # of a Namespace, which gives them once
    if unknown := next((name for name in content if name not in names), None):
        sections = ", ".join(field.name for field in fields(Study))
        raise UserError(
            f"a study has no {unknown!r}{did_you_mean(unknown, [*names, PRESETS])} (it has {sections} and {PRESETS})"
        )
    options: Namespace = parser.parse_args(rest, namespace=parser.parse_object(content, defaults=False))
    return options


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The base with changes: mappings are merged, all else is replaced."""
    merged = dict(base)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(name), dict)
        merged[name] = merge(base[name], value) if both else value
    return merged


def make_parser() -> PlainParser:
    """A parser for the options of `study`."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)  # the help of the study's fields
    parser = PlainParser("study")
    parser.add_argument("-c", "--config", metavar="FILE", help="Study: a path, or a name in configs/studies/.")
    parser.add_argument(
        "--preset", type=str | None, metavar="NAME", help="Changes that the study file lists, such as smoke."
    )
    parser.add_argument(
        "--output", type=str | None, metavar="DIR", help="Folder of the study. An interrupted one goes on."
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="CELL",
        help="Names of the cells to run, as --dry_run shows them. With a search, they are not tested.",
    )
    parser.add_argument(
        "--engine",
        choices=list(ENGINES),
        default="local",
        help="Where the cells run: on this machine, on a Ray cluster, or as SLURM jobs, for which it writes scripts.",
    )
    parser.add_class_arguments(EngineOptions, skip={"command"})
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="Print the commands of all cells (with optuna, of the first trials), and run none.",
    )
    parser.add_class_arguments(Study)
    return parser
