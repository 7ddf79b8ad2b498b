"""Results of long measurements: one entry per method, kept as soon as it is there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.progress import Progress

from lit_compacter.whole import written_whole

Result: TypeAlias = dict[str, Any]


def measure_missing(
    path: Path, names: Sequence[str], where: str, measure: Callable[[str], Result]
) -> dict[str, Result]:
    """Measure what the file at `path` lacks, and write it after each; one that fails is named and left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"where": where, "methods": {}}
    if known["where"] != where:
        raise SystemExit(f"{path} was measured otherwise ({known['where']}); give another --out")
    results: dict[str, Result] = known["methods"]
    with Progress() as progress:
        for name in progress.track([name for name in names if name not in results], description="measuring"):
            progress.console.print(f"{name} …")
            try:
                results[name] = measure(name)
            except subprocess.CalledProcessError as error:
                told = error.stderr.strip().splitlines() or [f"exit code {error.returncode} (−9: out of memory)"]
                progress.console.print(f"{name} failed: {told[-1]}")
                continue
            with written_whole(path) as temporary:
                temporary.write_text(json.dumps({"where": where, "methods": results}, indent=2) + "\n")
    return results


def stop_if_missing(results: dict[str, Result], names: Sequence[str]) -> None:
    """Exit with an error where one could not be measured."""
    if missing := [name for name in names if name not in results]:
        raise SystemExit(f"not measured: {', '.join(missing)}; the lines above say why")


def run(*arguments: str) -> str:
    """What a Python process of its own prints; raises CalledProcessError where it fails.

    Its large blocks go back to the system when they are freed (glibc). Else the heap's holes are measured: with
    Intrinsic-SAID's many temporaries of some megabytes they more than double the memory of T5-base.
    """
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, env=env).stdout
