"""The package's imports: rooms only import from floors below, and no modules import each other."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "lit_compacter"
# From the ground up. A room or module imports from lower floors only.
FLOORS: tuple[set[str], ...] = (
    {"errors", "utils", "layers", "compat"},
    {"hub", "runtime"},
    {"backbones"},
    {"methods", "data", "checkpoints", "schedule"},
    {"tasks", "model_options", "model"},
    {"adapters", "datamodule"},
    {"module"},
    {"results", "sharded_strategy"},
    {"studies", "planning"},
    {"reports"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


NAMES = {name_of(path) for path in MODULES}


def imports(path: Path) -> Iterator[str]:
    """The modules of the package that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("lit_compacter"):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in NAMES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("lit_compacter"))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_import_runs_upward(path: Path) -> None:
    room = name_of(path).split(".")[1]
    for imported in imports(path):
        other = imported.split(".")[1]
        assert other == room or FLOOR[other] < FLOOR[room], f"{name_of(path)} imports {imported}"


def test_no_modules_import_each_other() -> None:
    order = TopologicalSorter({name_of(path): set(imports(path)) - {name_of(path)} for path in MODULES})
    assert list(order.static_order())  # raises CycleError


def test_every_room_has_a_floor() -> None:
    assert {name.split(".")[1] for name in NAMES} == FLOOR.keys()


def test_the_package_imports_no_tests_or_benchmarks() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("tests", "benchmarks"))
