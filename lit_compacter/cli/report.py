"""`python main.py report STUDY`: tables, figures and a page of the results of a study or of runs."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from jsonargparse.typing import PositiveInt

from lit_compacter.cli.configs import CONFIGS, METHOD_NAMES
from lit_compacter.cli.parser import Parser
from lit_compacter.cli.verbs import VERBS
from lit_compacter.errors import UserError
from lit_compacter.reports.cells import StudyResults, is_study, read_study
from lit_compacter.reports.report import write_report
from lit_compacter.reports.runs import Method, read_runs
from lit_compacter.runtime.command import command_name
from lit_compacter.utils.console import console
from lit_compacter.utils.run_files import TEST_SCORE

FOLDER = "report"  # in the folder of a study
EXAMPLE = f"{command_name()} report runs --output reports/first"


def main(args: Sequence[str]) -> None:
    """Parse the options of `report`, and write it."""
    options = make_parser().parse_args(list(args))
    folders = [Path(folder) for folder in options.folders]
    if not folders:
        raise UserError(f"report needs the folder of a study, or runs; for example: {EXAMPLE}")
    study, default = read_cells(folders)
    output = Path(options.output) if options.output else default
    if output is None:
        raise UserError("a report of runs needs --output, a folder to write it to")
    report = write_report(study, output, options.metric, options.baseline, options.num_resamples)
    if report.summary:
        console.print(report.summary, markup=False, soft_wrap=True)
    console.print(f"report: {report.page}", markup=False, soft_wrap=True)


def read_cells(folders: Sequence[Path]) -> tuple[StudyResults, Path | None]:
    """The cells of a study or of runs, and the default folder of its report; None for runs.

    Raises:
        UserError: A folder does not exist, or is neither a study nor a run and contains no run.
    """
    if len(folders) == 1 and is_study(folders[0]):
        return read_study(folders[0]), folders[0] / FOLDER
    return read_runs(folders, known_methods()), None


def known_methods() -> dict[str, Method]:
    """Name → class_path and init_args of each method in configs/methods/."""
    files = {name: CONFIGS / "methods" / f"{name}.yaml" for name in METHOD_NAMES}
    return {name: yaml.safe_load(path.read_text())["model"]["method"] for name, path in files.items()}


def make_parser() -> Parser:
    """A parser for the options of `report`."""
    parser = Parser(prog=f"{command_name()} report", description=VERBS["report"])
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
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    return parser
