"""200 malformed inputs: each is refused in one line or is what it was; no other exception, no wrong result."""

import contextlib
import io
import os
import shutil
import signal
import tempfile
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
from lit_compacter.cli.request import Request
from lit_compacter.data.sources import from_file, from_files
from lit_compacter.errors import UserError
from lit_compacter.results.run_dir import RUN_NAME
from lit_compacter.tasks import TASKS
from tests.command_line import QUICK, command, only_folder
from tests.conftest import DEMO
from tests.models import small_t5
from tests.test_configs import ParsingCLI

pytestmark = pytest.mark.usefixtures("_project_root")

STATE = {"model.a": torch.arange(300.0), "model.b": torch.ones(2, 3)}
TABLE = (DEMO / "RTE/dev.tsv").read_bytes()[:2000]
METADATA = {"format": FORMAT, "method": "x", "options": {"x": 1}}


def fuzz(count: int) -> settings:
    """The same inputs in each run, however slow the machine."""
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """Cut, with some bytes changed, or with some put in between."""
    places = st.integers(0, len(whole) - 1)
    flipped = st.lists(st.tuples(places, st.integers(1, 255)), min_size=1, max_size=4).map(
        lambda flips: bytes(b ^ dict(flips).get(i, 0) for i, b in enumerate(whole))
    )
    longer = st.tuples(places, st.binary(min_size=1, max_size=9)).map(lambda p: whole[: p[0]] + p[1] + whole[p[0] :])
    return places.map(lambda end: whole[:end]) | flipped | longer


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Nothing hangs."""
    signal.alarm(seconds)  # whose default action ends the process of the test
    try:
        yield
    finally:
        signal.alarm(0)


def told(error: UserError) -> None:
    """The command line puts it on one line; what it says must be short enough for one."""
    assert 0 < len(str(error).strip()) < 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def checkpoint_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.ckpt"
        AdapterCheckpointIO().save_checkpoint({"state_dict": STATE, METADATA_KEY: METADATA}, path)
        return path.read_bytes()


@fuzz(60)
@given(data=damaged(checkpoint_bytes()))
def test_damaged_checkpoints(data: bytes, folder: Path) -> None:
    path = folder / "x.ckpt"
    path.write_bytes(data)
    try:
        with within(60):
            read = read_checkpoint(path)
    except UserError as error:
        told(error)
    else:
        assert read[METADATA_KEY] == METADATA and read["state_dict"].keys() == STATE.keys()
        assert all(torch.equal(read["state_dict"][name], tensor) for name, tensor in STATE.items())


@fuzz(50)
@given(
    data=damaged(TABLE) | st.binary(max_size=300) | st.text(max_size=300).map(str.encode),
    suffix=st.sampled_from([".tsv", ".csv", ".jsonl", ".parquet"]),
)
def test_damaged_data(data: bytes, suffix: str, folder: Path) -> None:
    (folder / "RTE").mkdir(exist_ok=True)
    (folder / "RTE/dev.tsv").write_bytes(data)
    (folder / f"rows{suffix}").write_bytes(data)
    for read in (
        lambda: from_files(TASKS["rte"], "validation", folder),
        lambda: from_file(TASKS["rte"], folder / f"rows{suffix}"),
    ):
        try:
            with within(60):
                rows = read()
        except UserError as error:
            told(error)
        else:
            texts = [row.columns["sentence1"] for row in rows]
            assert all(isinstance(text, str) and text in data.decode() for text in texts)


def model_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        small_t5().save_pretrained(name)
        return (Path(name) / "model.safetensors").read_bytes()


MODEL = model_bytes()
HEADER = 8 + int.from_bytes(MODEL[:8], "little")  # its length, then the names, types, shapes and places of all tensors


@fuzz(30)
@given(header=damaged(MODEL[:HEADER]))
def test_damaged_headers_of_models(header: bytes, folder: Path) -> None:
    model = small_t5()
    model.config.save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(header + MODEL[HEADER:])
    try:
        with within(60):
            loaded = load_backbone(str(folder))
    except UserError as error:
        told(error)
    else:
        assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NUMBERS = st.sampled_from([0, -1, 1, 3, 1.5, -0.5, 1e30, 10**30, float("nan"), float("inf"), "1e-3"])
WORDS = st.sampled_from(["", "auto", "last", "best", "/nowhere", "../..", "\0", "a" * 300, "${x}", "%s", "{premise}"])
CLASSES = st.sampled_from(
    [
        {"class_path": "x"},
        {"class_path": "os.system", "init_args": {"command": "touch fuzzed"}},
        {"class_path": "Compacter", "init_args": {"phm_dim": 3}},
        [{"class_path": "EarlyStopping"}],
        {"class_path": {}},
    ]
)
NESTED: Any = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = list(ParsingCLI("fit", Request.read(["--config=rte.yaml"])).parser.get_defaults().keys())  # type: ignore[attr-defined]
METHOD = [
    f"model.method.init_args.{name}"
    for name in ("phm_dim", "reduction_factor", "layers", "sublayers", "init", "phm_rank")
]
# Not what names a place to write to or begins a network of processes.
KEYS = sorted(
    {
        name
        for name in NAMES
        if name.split(".")[0] in ("data", "model", "trainer", "run_name", "save_every_n_steps", "ckpt_path")
    }
    - {"trainer.default_root_dir", "trainer.num_nodes", "trainer.devices"}
    | {"seed_everything", "data", "model", "trainer", "model.method.class_path", "model.method.init_args", "x", *METHOD}
)


@fuzz(40)
@given(key=st.sampled_from(KEYS), value=NUMBERS | WORDS | CLASSES | NESTED)
def test_values_in_a_config(key: str, value: Any, folder: Path) -> None:
    """Through the whole command line, which trains where the value is one that the option can have."""
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    path, runs = folder / "x.yaml", folder / "runs"
    path.write_text(yaml.safe_dump(nested))
    os.environ.pop(RUN_NAME, None)
    shutil.rmtree(runs, ignore_errors=True)
    stderr, code = io.StringIO(), 0
    try:
        with within(60), contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
            main(command("fit", runs, "--config", str(path), *QUICK))  # QUICK wins over the value: no long runs
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    lines = stderr.getvalue().splitlines()
    if code == 0:
        assert (only_folder(runs) / "metrics.json").exists()
    else:
        assert code == 2 and [line for line in lines if line.startswith("error: ")] == lines[-1:]
        assert "diverged" in lines[-1] or not list(runs.glob("*")), "no folder of a run that never began is left"
    assert not Path("fuzzed").exists()
