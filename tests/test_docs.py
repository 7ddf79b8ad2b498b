"""The documents' links exist, and their commands parse."""

import re
import shlex

import pytest

from lit_compacter.cli import export, report, study
from lit_compacter.cli.cli import ParsingCLI
from lit_compacter.cli.data_verbs import make_parser
from lit_compacter.cli.plan import PlanCLI
from lit_compacter.cli.request import Request
from lit_compacter.tasks.metrics import METRICS
from tests.conftest import ROOT

DOCUMENTS = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ )?python main\.py ((?:\\\n|.)+)$", re.MULTILINE)
# Files that a reader makes first, or options that print and exit.
NOT_HERE = ("my.FinalNorm", "runs/mine/config.yaml", "runs/local/config.yaml", "--help", ".help ")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links(document: str) -> None:
    path = ROOT / document
    missing = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert not missing


def commands() -> list[str]:
    texts = [(ROOT / document).read_text() for document in DOCUMENTS if "results" not in document.parts]
    found = {command.replace("\\\n", " ") for text in texts for command in COMMAND.findall(text)}
    return sorted(command for command in found if not any(word in command for word in NOT_HERE))


def test_there_are_commands() -> None:
    assert len(commands()) > 20


@pytest.mark.usefixtures("_project_root")
@pytest.mark.parametrize("command", commands())
def test_commands_parse(command: str) -> None:
    verb, *args = shlex.split(command, comments=True)
    if verb == "study":
        study.parse(args)
        return
    request = Request.read(args)
    if verb in ("show", "download"):
        make_parser(verb, request).parse_args(request.args)
    elif verb == "export":
        export.make_parser(request).parse_args(request.args)
    elif verb == "plan":
        PlanCLI(verb, request)
    elif verb == "report":
        report.make_parser().parse_args(args)
    else:
        ParsingCLI(verb, request)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_metric_is_defined() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:two )?(\w+) \| .{20,}", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((name, kind) for kind, names in METRICS.items() for name in names)
