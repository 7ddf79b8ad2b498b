"""Malformed inputs are refused in one line or give what they mean: no other exception, no wrong result.

`make test` runs the cases that were worth keeping; `make soak` draws new ones in each run.
"""

import contextlib
import io
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_compacter.backbones.loading import load_backbone
from lit_compacter.checkpoints.format import FORMAT, METADATA_KEY
from lit_compacter.checkpoints.io import AdapterCheckpointIO, read_checkpoint
from lit_compacter.cli.main import main
from lit_compacter.data.sources import from_file, from_files
from lit_compacter.errors import UserError
from lit_compacter.results.run_dir import RUN_NAME
from lit_compacter.tasks import TASKS
from tests.command_line import QUICK, command, only_folder
from tests.conftest import DEMO
from tests.models import small_t5
from tests.test_configs import parser

pytestmark = pytest.mark.usefixtures("_project_root")

Damage = tuple[str, float, bytes]  # kind, place as a share of the file, bytes

STATE = {"model.a": torch.arange(300.0), "model.b": torch.ones(2, 3)}
METADATA = {"format": FORMAT, "method": "x", "options": {"x": 1}}
SUFFIXES = [".tsv", ".csv", ".jsonl", ".parquet"]


def soak(count: int) -> settings:
    """New inputs in each run, however slow the machine."""
    return settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))


DAMAGES = st.tuples(st.sampled_from(["cut", "flip", "insert"]), st.floats(0, 1), st.binary(min_size=1, max_size=9))
KEPT_DAMAGES: list[Damage] = [
    *(("cut", place, b"") for place in (0.0, 0.01, 0.5, 0.99, 1.0)),
    *(("flip", place, b"\x01\xff") for place in (0.0, 0.1, 0.35, 0.6, 0.9, 0.999)),
    *(("insert", place, b'\x00\t"\n{') for place in (0.0, 0.3, 0.7)),
]


def damaged(content: bytes, damage: Damage) -> bytes:
    kind, share, given_bytes = damage
    place = min(int(share * len(content)), len(content) - 1)
    if kind == "cut":
        return content[:place]
    if kind == "insert":
        return content[:place] + given_bytes + content[place:]
    flipped = bytes(old ^ (new or 1) for old, new in zip(content[place:], given_bytes, strict=False))
    return content[:place] + flipped + content[place + len(flipped) :]


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Nothing hangs."""
    signal.alarm(seconds)  # whose default action ends the process of the test
    try:
        yield
    finally:
        signal.alarm(0)


def check_message(error: UserError) -> None:
    """The command line prints it on one line, so it must be short enough for one."""
    assert 0 < len(str(error).strip()) < 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# Checkpoints


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> bytes:
    path = folder / "whole.ckpt"
    AdapterCheckpointIO().save_checkpoint({"state_dict": STATE, METADATA_KEY: METADATA}, path)
    return path.read_bytes()


def check_checkpoint(content: bytes, folder: Path) -> None:
    path = folder / "x.ckpt"
    path.write_bytes(content)
    try:
        with within(60):
            read = read_checkpoint(path)
    except UserError as error:
        check_message(error)
    else:
        assert read[METADATA_KEY] == METADATA and read["state_dict"].keys() == STATE.keys()
        assert all(torch.equal(read["state_dict"][name], tensor) for name, tensor in STATE.items())


@pytest.mark.parametrize("damage", KEPT_DAMAGES)
def test_damaged_checkpoints(damage: Damage, checkpoint: bytes, folder: Path) -> None:
    check_checkpoint(damaged(checkpoint, damage), folder)


@pytest.mark.soak
@soak(300)
@given(damage=DAMAGES)
def test_newly_damaged_checkpoints(damage: Damage, checkpoint: bytes, folder: Path) -> None:
    check_checkpoint(damaged(checkpoint, damage), folder)


# Data files


def table() -> bytes:
    return (DEMO / "RTE/dev.tsv").read_bytes()[:2000]


def check_data(data: bytes, suffix: str, folder: Path) -> None:
    (folder / "RTE").mkdir(exist_ok=True)
    (folder / "RTE/dev.tsv").write_bytes(data)
    (folder / f"rows{suffix}").write_bytes(data)
    for read in (
        lambda: from_files(TASKS["rte"], "validation", folder),
        lambda: from_file(TASKS["rte"], folder / f"rows{suffix}"),
    ):
        try:
            with within(60):
                rows = list(read().rows)
        except UserError as error:
            check_message(error)
        else:
            texts = [row.columns["sentence1"] for row in rows]
            assert all(isinstance(text, str) and text in data.decode() for text in texts)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_data(suffix: str, folder: Path) -> None:
    contents = [damaged(table(), damage) for damage in KEPT_DAMAGES]
    for content in [*contents, b"", b"\n", b"{}", b"[1]\n", b"\xff\xfe", b'"', b"a\tb\n\t\n", "sentence1\n°".encode()]:
        check_data(content, suffix, folder)


@pytest.mark.soak
@soak(300)
@given(
    data=DAMAGES.map(lambda damage: damaged(table(), damage))
    | st.binary(max_size=300)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=300).map(str.encode),
    suffix=st.sampled_from(SUFFIXES),
)
def test_newly_damaged_data(data: bytes, suffix: str, folder: Path) -> None:
    check_data(data, suffix, folder)


# Models


@pytest.fixture(scope="module")
def backbone(folder: Path) -> bytes:
    small_t5().save_pretrained(folder)
    return (folder / "model.safetensors").read_bytes()


def check_model_header(damage: Damage, backbone: bytes, folder: Path) -> None:
    """The header has the names, types, shapes and places of all tensors."""
    header = 8 + int.from_bytes(backbone[:8], "little")
    (folder / "model.safetensors").write_bytes(damaged(backbone[:header], damage) + backbone[header:])
    try:
        with within(60):
            loaded = load_backbone(str(folder))
    except UserError as error:
        check_message(error)
    else:
        assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), small_t5().parameters(), strict=True))


@pytest.mark.parametrize("damage", KEPT_DAMAGES)
def test_damaged_model_headers(damage: Damage, backbone: bytes, folder: Path) -> None:
    check_model_header(damage, backbone, folder)


@pytest.mark.soak
@soak(100)
@given(damage=DAMAGES)
def test_newly_damaged_model_headers(damage: Damage, backbone: bytes, folder: Path) -> None:
    check_model_header(damage, backbone, folder)


# Values of options

LEAVES = st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.floats() | st.text(max_size=8)
NUMBERS = st.sampled_from([0, -1, 1, 3, 1.5, -0.5, 1e30, float("nan"), float("inf"), "1e-3"])
WORDS = st.sampled_from(
    ["", "auto", "last", "best", "/dev/null/nowhere", "../..", "\0", "a" * 300, "${x}", "%s", "{premise}"]
)
CLASSES = st.sampled_from(
    [
        {"class_path": "x"},
        {"class_path": "os.system", "init_args": {"command": "touch fuzzed"}},
        {"class_path": "Compacter", "init_args": {"phm_dim": 3}},
        {"class_path": {}},
    ]
)
NESTED: Any = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
METHOD = [f"model.method.init_args.{name}" for name in ("phm_dim", "reduction_factor", "layers", "sublayers", "init")]
KEPT_VALUES: list[tuple[str, Any]] = [
    ("data.batch_size", None),
    ("data.labels", [True]),
    ("data.metrics", "f1"),
    ("data.data_seed", -1),
    ("model.learning_rate", float("nan")),
    ("model.learning_rate", 1e30),
    ("model.warmup_steps", 1.5),
    ("model.method", [1]),
    ("model.method", {"class_path": "os.system", "init_args": {"command": "touch fuzzed"}}),
    ("model.method.init_args.layers", [0, 0]),
    ("model.method.init_args.sublayers", []),
    ("run_name", "../.."),
    ("ckpt_path", "\0"),
    ("data", 3),
    ("data.task", {"class_path": "x"}),
    ("x", {"y": 1}),
]


def keys() -> list[str]:
    """Options whose values this program answers for."""
    names = parser().get_defaults().keys()
    mine = {name for name in names if name.split(".")[0] in ("data", "model", "run_name", "ckpt_path")}
    return sorted(mine | {"seed_everything", "data", "model", "trainer", "model.method.class_path", "x", *METHOD})


def check_value(key: str, value: Any, folder: Path) -> None:
    """Through the whole command line, which trains if the option can have the value."""
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    path, runs = folder / "x.yaml", folder / "runs"
    path.write_text(yaml.safe_dump(nested))
    os.environ.pop(RUN_NAME, None)
    shutil.rmtree(runs, ignore_errors=True)
    stderr, code = io.StringIO(), 0
    try:
        # In the folder, because data.cache_dir creates whatever directory it names.
        streams = contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO())
        with within(60), contextlib.chdir(folder), streams[0], streams[1]:
            main(command("fit", runs, "--config", str(path), *QUICK))  # QUICK wins over the value: no long runs
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    lines = stderr.getvalue().splitlines()
    if code == 0:
        assert (only_folder(runs) / "metrics.json").exists()
    else:
        assert code == 2 and [line for line in lines if line.startswith("error: ")] == lines[-1:]
        assert "diverged" in lines[-1] or not list(runs.glob("*")), "no folder of a run that never began is left"
    assert not (folder / "fuzzed").exists() and not Path("fuzzed").exists()


@pytest.mark.parametrize(("key", "value"), KEPT_VALUES)
def test_values_in_a_config(key: str, value: Any, folder: Path) -> None:
    check_value(key, value, folder)


@pytest.mark.soak
@soak(150)
@given(data=st.data(), value=NUMBERS | WORDS | CLASSES | NESTED)
def test_new_values_in_a_config(data: st.DataObject, value: Any, folder: Path) -> None:
    check_value(data.draw(st.sampled_from(keys())), value, folder)
