"""200 malformed inputs: each is refused in one line or is what it was; no other exception, no wrong result."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_compacter import checkpoint
from lit_compacter.errors import UserError
from lit_compacter.sources import from_file, from_files
from lit_compacter.tasks import TASKS
from tests.conftest import DEMO
from tests.test_configs import make_parser

STATE = {"model.a": torch.arange(300.0), "model.b": torch.ones(2, 3)}
TABLE = (DEMO / "RTE/dev.tsv").read_bytes()[:2000]
BLOCK = dict.fromkeys(checkpoint.FIELDS, "x") | {"format": checkpoint.FORMAT}


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


def told(error: UserError) -> None:
    """The command line puts it on one line; what it says must be short enough for one."""
    assert 0 < len(str(error).strip()) < 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def checkpoint_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.ckpt"
        checkpoint.AdapterCheckpointIO().save_checkpoint({"state_dict": STATE, checkpoint.BLOCK: BLOCK}, path)
        return path.read_bytes()


@fuzz(80)
@given(data=damaged(checkpoint_bytes()))
def test_damaged_checkpoints(data: bytes, folder: Path) -> None:
    path = folder / "x.ckpt"
    path.write_bytes(data)
    try:
        read = checkpoint.read(path)
    except UserError as error:
        told(error)
    else:
        assert read[checkpoint.BLOCK] == BLOCK and read["state_dict"].keys() == STATE.keys()
        assert all(torch.equal(read["state_dict"][name], tensor) for name, tensor in STATE.items())


@fuzz(70)
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
            rows = read()
        except UserError as error:
            told(error)
        else:
            assert all(isinstance(row["sentence1"], str) and row["sentence1"] in data.decode() for row in rows)


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = ["data.batch_size", "data.task", "data.split", "model.learning_rate", "model.method", "model.method.layers"]
KEYS += ["model.model_name", "trainer.max_epochs", "run_name", "seed_everything", "save_every", "trainer", "data", "x"]


@fuzz(50)
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_values_in_a_config(key: str, value: Any, folder: Path) -> None:
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    path = folder / "x.yaml"
    path.write_text(yaml.safe_dump(nested))
    try:
        make_parser().parse_args(["fit", "--config", "rte.yaml", "--config", str(path)])
    except UserError as error:
        told(error)
