"""Results of long measurements: one entry per method, with everything that it depends on."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.progress import Progress

from lit_compacter.cli.configs import METHOD_NAMES
from lit_compacter.runtime.environment import LIBRARIES
from lit_compacter.utils.atomic import atomic_write

Result: TypeAlias = dict[str, Any]
MEASURED_WITH = "measured_with"  # key of an entry: everything that it depends on
METHOD = "method"  # key within it: the part that is specific to the method
MAX_DIFFERENCES = 3  # to list in a message
# Makes glibc return large blocks to the system when they are freed. Otherwise fragmentation would be measured:
# Intrinsic-SAID's many temporaries of a few megabytes would more than double the memory of T5-base.
RETURN_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that the benchmarks of methods share."""
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--methods", nargs="+", choices=METHOD_NAMES, default=METHOD_NAMES, metavar="NAME")
    parser.add_argument("--redraw", action="store_true", help="rewrite tables and figures without measuring")


def load(path: Path) -> dict[str, Result]:
    """The results in a file, by method; none if there is no file.

    Raises:
        SystemExit: A result does not say what it was measured with.
    """
    results: dict[str, Result] = json.loads(path.read_text())["methods"] if path.exists() else {}
    if unknown := [name for name, result in results.items() if MEASURED_WITH not in result]:
        raise SystemExit(f"{path}: {', '.join(unknown)} does not say what it was measured with; give another --out")
    return results


def load_all(path: Path) -> dict[str, Result]:
    """Load the results of a file, which must have some, for `--redraw`."""
    if results := load(path):
        return results
    raise SystemExit(f"{path} holds no results to redraw; measure some without --redraw")


def measure_missing(
    path: Path, wanted: Mapping[str, Mapping[str, Any]], measure: Callable[[str], Result]
) -> dict[str, Result]:
    """Measure the methods missing from the file at `path`, and write it after each one. Report methods that fail.

    Args:
        path: A JSON file.
        wanted: Method → everything that its result depends on, as plain values.
        measure: Method → result.

    Returns:
        All results of the file.

    Raises:
        SystemExit: A result in the file was measured with something else.
    """
    results = load(path)
    for name in [name for name in wanted if name in results]:
        if other := differences(results[name][MEASURED_WITH], wanted[name]):
            raise SystemExit(f"{path}: {name} was measured with {other}; give another --out to measure it anew")
    path.parent.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        for name in progress.track([name for name in wanted if name not in results], description="measuring"):
            progress.console.print(f"{name} …")
            try:
                results[name] = measure(name) | {MEASURED_WITH: wanted[name]}
            except subprocess.CalledProcessError as error:
                lines = error.stderr.strip().splitlines() or [f"exit code {error.returncode} (−9: out of memory)"]
                progress.console.print(f"{name} failed: {lines[-1]}")
                continue
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps({"methods": results}, indent=2, ensure_ascii=False) + "\n")
    return results


def differences(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """`torch 2.13.0, now 2.14.0`; empty if nothing differs."""
    before, now = (dict(_flat(json.loads(json.dumps(side)))) for side in (known, wanted))
    found = []
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, list) and isinstance(new, list):  # of two lists, show only the entries that differ
            parts = [[item for item in one if item not in other] for one, other in ((old, new), (new, old))]
            old, new = (", ".join(map(str, part)) or "nothing" for part in (parts if any(parts) else (old, new)))
        found.append(f"{key} {_or_absent(old)}, now {_or_absent(new)}")
    more = f" and {len(found) - MAX_DIFFERENCES} more" if len(found) > MAX_DIFFERENCES else ""
    return "; ".join(found[:MAX_DIFFERENCES]) + more


def _or_absent(value: Any) -> str:
    return "not given" if value is None else str(value)


def _flat(nested: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def group_comparable(results: Mapping[str, Result]) -> list[dict[str, Result]]:
    """Group the results into tables, so that only the method differs within a table."""
    groups: dict[str, dict[str, Result]] = {}
    for name, result in results.items():
        shared = {key: value for key, value in result[MEASURED_WITH].items() if key != METHOD}
        groups.setdefault(json.dumps(shared, sort_keys=True), {})[name] = result
    return sorted(groups.values(), key=len, reverse=True)


def place(result: Result) -> str:
    """`CPU, 2 threads, AVX2; torch 2.13.0, …, Python 3.11.7` and an empty line; empty if unknown."""
    known = result[MEASURED_WITH]
    if "machine" not in known:
        return ""
    libraries = ", ".join(f"{name} {known[name]}" for name in LIBRARIES if name in known)
    return f"{known['machine']}; {libraries}, Python {known['python']}\n\n"


def content(name: str) -> str:
    """A digest of a file, or of the names, sizes and times of a folder's files; else the name itself."""
    path = Path(name)
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if not path.is_dir():
        return name
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listed = [(str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with names in the first column and numbers in the others."""
    lines = [header, ("---", *("---:" for _ in header[1:])), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def write(out: Path | None, name: str, content: Mapping[str, Any], text: str) -> None:
    """Print the text, and write it to NAME.md and the content to NAME.json in the folder `out`, if it is given."""
    print(text)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    (out / f"{name}.md").write_text(text)


def stop_if_missing(results: Mapping[str, Result], names: Iterable[str]) -> None:
    """Exit with an error if a method could not be measured."""
    if missing := [name for name in names if name not in results]:
        raise SystemExit(f"not measured: {', '.join(missing)}; the lines above say why")


def run(*arguments: str) -> str:
    """Run Python in a new process and return what it prints. Raises CalledProcessError if it fails."""
    env = os.environ | RETURN_FREED_MEMORY
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, env=env).stdout
