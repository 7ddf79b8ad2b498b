"""`python main.py report STUDY`: tables, figures and a page of the results of a study or of runs.

`parse` needs no slow imports, so that --help and mistakes are answered at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from jsonargparse import Namespace
from jsonargparse.typing import PositiveInt

from lit_compacter.cli.configs import CONFIGS, METHOD_NAMES
from lit_compacter.cli.plain_parser import PlainParser
from lit_compacter.errors import UserError
from lit_compacter.runtime.command import command_name
from lit_compacter.utils.console import console
from lit_compacter.utils.run_files import TEST_SCORE

if TYPE_CHECKING:
    from lit_compacter.reports.cells import StudyResults
    from lit_compacter.reports.runs import Method

FOLDER = "report"  # in the folder of a study
EXAMPLE = f"{command_name()} report runs --output reports/first"


def main(args: Sequence[str]) -> None:
    """Parse the options of `report`, and write it."""
    from lit_compacter.reports.report import write_report

    options = parse(args)
    study, default = read_cells([Path(folder) for folder in options.folders])
    output = Path(options.output) if options.output else default
    if output is None:
        raise UserError("a report of runs needs --output, a folder to write it to")
    report = write_report(study, output, options.metric, options.baseline, options.num_resamples)
    if report.summary:
        console.print(report.summary, markup=False, soft_wrap=True)
    console.print(f"report: {report.page}", markup=False, soft_wrap=True)


def parse(args: Sequence[str]) -> Namespace:
    """The options of the command line.

    Raises:
        UserError: An option is wrong, or no folder is given.
    """
    options: Namespace = make_parser().parse_args(list(args))
    if not options.folders:
        raise UserError(f"report needs the folder of a study, or runs; for example: {EXAMPLE}")
    return options


def read_cells(folders: Sequence[Path]) -> tuple["StudyResults", Path | None]:
    """The cells of a study or of runs, and the default folder of its report; None for runs.

    Raises:
        UserError: A folder does not exist, or is neither a study nor a run and contains no run.
    """
    from lit_compacter.reports.cells import is_study, read_study
    from lit_compacter.reports.runs import read_runs

    if len(folders) == 1 and is_study(folders[0]):
        return read_study(folders[0]), folders[0] / FOLDER
    return read_runs(folders, known_methods()), None


def known_methods() -> dict[str, "Method"]:
    """Name → class_path and init_args of each method in configs/methods/."""
    files = {name: CONFIGS / "methods" / f"{name}.yaml" for name in METHOD_NAMES}
    return {name: yaml.safe_load(path.read_text())["model"]["method"] for name, path in files.items()}


def make_parser() -> PlainParser:
    """A parser for the options of `report`."""
    parser = PlainParser("report")
    parser.add_argument(
        "folders",
        type=str,
        nargs="*",
        metavar="STUDY_OR_RUN",
        help="The folder of a study; or run folders, or folders that contain run folders, such as runs/.",
    )
    parser.add_argument(
        "--output", type=str | None, help="Folder to write the report to. Default: report/ in the study's folder."
    )
    parser.add_argument(
        "--metric",
        type=str,
        default=TEST_SCORE,
        help="The result in metrics.json to compare. test/score is the mean of the task's metrics.",
    )
    parser.add_argument(
        "--baseline",
        type=str | None,
        help="The method that the others are compared with by a paired bootstrap, or none. Default: the first.",
    )
    parser.add_argument("--num_resamples", type=PositiveInt, default=1000, help="Resamples of the bootstrap.")
    return parser
