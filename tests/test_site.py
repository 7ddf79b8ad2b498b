"""The documentation as a site: every page is in its navigation, and it builds without a broken link or anchor."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

MKDOCS = ROOT / "build/docs/bin/mkdocs"
# Made by docs/_site/hook.py.
MADE = {"index.md", "contributing.md", "changelog.md", "quickstart.md"}
LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")


def pages(nav: Any) -> Iterator[str]:
    for entry in nav:
        for value in [entry] if isinstance(entry, str) else entry.values():
            yield from [value] if isinstance(value, str) else pages(value)


def test_the_navigation_has_every_page() -> None:
    listed = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    written = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    assert sorted(listed) == sorted(written | MADE)


def test_every_result_is_in_the_index() -> None:
    linked = set(re.findall(r"\]\((results/[^)]*\.md)\)", (ROOT / "docs/results.md").read_text()))
    assert linked == {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/results/*/*.md")}


def test_every_name_of_the_reference_exists() -> None:
    pages = [path.read_text() for path in ROOT.glob("docs/api/*.md")]
    names = [name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE)]
    assert len(names) > 20
    for name in names:
        assert resolve_name(name) is not None


@pytest.mark.soak  # make docs builds it in continuous integration
def test_the_site_needs_no_network(tmp_path: Path) -> None:
    if not MKDOCS.exists():
        pytest.skip("needs the environment of make docs")
    result = subprocess.run(
        [MKDOCS, "build", "--strict", "--site-dir", tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    html = {path: path.read_text() for path in tmp_path.rglob("*.html")}
    assert len(html) > 30 and "source/configs/trainer/fsdp.yaml" in html[tmp_path / "support.html"]
    assert not [(path, found[0]) for path, text in html.items() for found in LOADED.finditer(text)]
    assert not [path for path in tmp_path.rglob("*.css") if re.search(r"url\([\"']?(?:https?:)?//", path.read_text())]
