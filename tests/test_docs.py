"""What the documents link to is there."""

import re

import pytest

from lit_compacter.tasks.metrics import METRICS
from tests.conftest import ROOT

DOCUMENTS = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links(document: str) -> None:
    path = ROOT / document
    missing = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert not missing


def test_every_metric_is_defined() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:two )?(\w+) \| .{20,}", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((name, kind) for kind, names in METRICS.items() for name in names)
