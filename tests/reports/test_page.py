"""The page and the figures: whole, and without a network."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from lit_compacter.reports.cells import read_study
from lit_compacter.reports.page import duration
from lit_compacter.reports.report import write_report
from tests.reports.factory import ERROR, make_study

# Calls the page's functions without a page: order of numbers, of texts, and of what is missing.
SORTING = """
const assert = require("node:assert");
const sorted = (values, sign) => [...values].sort((a, b) => compare(a, b, sign));
assert.deepEqual(sorted(["9.5", "", "10.1", "-3"], 1), ["-3", "9.5", "10.1", ""]);
assert.deepEqual(sorted(["9.5", "", "10.1", "-3"], -1), ["10.1", "9.5", "-3", ""]);
assert.deepEqual(sorted(["b", "a", ""], 1), ["a", "b", ""]);
"""


class Page(HTMLParser):
    """What a page links to, what it loads, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.cells: list[int] = []  # in each row

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [value for name in ("href", "src", "xlink:href", "action") if (value := found.get(name))]
        self.ids += [value for value in [found.get("id")] if value]
        if tag == "tr":
            self.cells.append(0)
        if tag in ("td", "th"):
            self.cells[-1] += 1


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a study of two methods, two tasks, two sizes and two seeds, with a failed cell and one that is absent."""
    folder = make_study(
        tmp_path_factory.mktemp("studies") / "my <study>",
        ["full", "compacter"],
        ["rte", "stsb"],
        [0, 1],
        {"data.max_train_samples": [100, 1000]},
        failed=["full-rte-100-0"],
        absent=["compacter-stsb-1000-1"],
        size=40,
    )
    write_report(read_study(folder), folder / "report", "test/score", None, 50)
    return folder / "report"


def test_the_page_needs_no_network(report: Path) -> None:
    text = (report / "index.html").read_text()
    page = Page()
    page.feed(text)
    outside = [link for link in page.links if link.startswith("/") or (re.match(r"\w+:", link) and link != "data:,")]
    assert not outside and "@import" not in text and "url(h" not in text
    files = [link for link in page.links if not link.startswith("#") and link != "data:,"]
    assert files and all((report / unquote(link)).exists() for link in files)
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert anchors <= set(page.ids) and len(page.ids) == len(set(page.ids))


def test_the_page_tells_everything(report: Path) -> None:
    text = (report / "index.html").read_text()
    page = Page()
    page.feed(text)
    assert "<h1>my &lt;study&gt;</h1>" in text and ERROR in text and text.count("../cells/") == 14
    assert text.count("<pre>python") + text.count("<pre>lit-compacter") == 16, "each cell's command"
    assert "CPU, 2 threads, AVX2; torch 2.13.0" in text
    for title in ("data.max_train_samples = 100", "Efficiency", "Score by data.max_train_samples", "Seeds", "Learning"):
        assert title in text
    assert set(page.cells) == {6, 12}, "columns of the tables of results and of the cells"


def test_figures_are_whole(report: Path) -> None:
    names = {path.stem for path in report.glob("*.svg")}
    each = {what + number for what in ("score_and_parameters", "learning_curves", "seeds") for number in ("", "-2")}
    assert names == each | {"score_by_data.max-train-samples"}
    assert {path.stem for path in report.glob("*.png")} == names
    assert not any("<dc:date>" in path.read_text() for path in report.glob("*.svg"))


def test_durations() -> None:
    expected = {0.4: "0 s", 61: "1 min 01 s", 3599.6: "1 h 00 min", 7265: "2 h 01 min"}
    assert {seconds: duration(seconds) for seconds in expected} == expected


def test_a_single_validation_is_no_learning_curve(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", ["compacter"], seeds=[0, 1], size=40)
    for history in folder.glob("cells/*/logs/history.jsonl"):
        history.write_text(history.read_text().split("\n")[0] + "\n")
    write_report(read_study(folder), tmp_path / "report", "test/score", None, 10)
    assert not (tmp_path / "report/learning_curves.svg").exists()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, to run the page's script")
def test_the_script_sorts() -> None:
    script = (Path(__file__).parents[2] / "lit_compacter/reports/templates/report.js").read_text()
    function = script[script.index("function compare") : script.index("function sortBy")]
    subprocess.run(["node", "-e", function + SORTING], check=True)


def test_only_what_can_be_drawn(tmp_path: Path) -> None:
    """Runs without resources and history have no figure of either."""
    folder = make_study(tmp_path / "study", ["compacter"], seeds=[0], size=40)
    run = folder / "cells/compacter-rte-0"
    content = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({name: content[name] for name in content if name != "resources"}))
    (run / "logs/history.jsonl").unlink()
    write_report(read_study(folder), tmp_path / "report", "test/score", None, 10)
    assert [path.name for path in sorted((tmp_path / "report").glob("*.svg"))] == ["seeds.svg"]
    assert "| Compacter |" in (tmp_path / "report/tables.md").read_text()
