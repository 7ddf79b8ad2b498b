"""Paths and fixtures shared by all tests."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Tests never reach for a network; what needs a hub is given a local stand-in. Read when the libraries are imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # of calls that Lightning makes

from lit_compacter.results.run_dir import RUN_NAME

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
TINY = ROOT / "data" / "tiny-t5"
DEMO = ROOT / "data" / "demo"


def shared(*parts: str) -> Path:
    """A path in the folder beside the project; skips the test where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {path}, which lies beside the project and is not part of it")
    return path


@pytest.fixture
def _project_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The surroundings that a user's shell gives the command line, for calling it in this process."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["main.py"])
    monkeypatch.setenv(RUN_NAME, "")  # what the command line sets in it is restored afterwards
    monkeypatch.delenv(RUN_NAME)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run folder of one quick fit, for reading only, and what it printed."""
    from tests.command_line import command, run_cli

    root = tmp_path_factory.mktemp("runs")
    result = run_cli(*command("fit", root, "--run_name=first"))
    assert result.returncode == 0, result.stderr
    return root / "first", result.stdout


@pytest.fixture
def trained(first_run: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that run folder."""
    return Path(shutil.copytree(first_run[0], tmp_path / "runs" / "first"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of modules that run the command line, which `make test-fast` leaves out."""
    for item in items:
        if isinstance(item, pytest.Function) and vars(item.module).keys() & {"main", "run_cli", "command"}:
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What `make soak` is asked for: how many of the killed runs ended as the run that was never stopped."""
    outcomes = [
        (outcome, report)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if "test_killed_at_a_random_moment" in report.nodeid
    ]
    if outcomes:
        identical = sum(outcome == "passed" for outcome, _ in outcomes)
        terminalreporter.write_line(f"{identical} of {len(outcomes)} killed and resumed runs ended bit-identical")


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a hub that takes uploads, and the folder that it holds."""
    script, root = shared("tools", "hub_standin.py"), tmp_path / "hub"
    for kind in ("models", "datasets"):
        (root / kind).mkdir(parents=True)
    process = subprocess.Popen([sys.executable, str(script), "--root", str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), root
    finally:
        process.kill()
