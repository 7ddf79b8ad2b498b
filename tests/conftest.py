"""Paths and fixtures shared by all tests."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
TINY = ROOT / "data" / "tiny-t5"
DEMO = ROOT / "data" / "demo"

# Tests never reach for a network; what needs a hub is given a local stand-in.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # of calls that Lightning makes


def shared(*parts: str) -> Path:
    """A path in the folder beside the project; skips the test where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs {path}, which lies beside the project and is not part of it")
    return path


def run_cli(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The real command line in a real process, from the project's root."""
    command = [sys.executable, str(ROOT / "main.py"), *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, **options)
