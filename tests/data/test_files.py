"""Rows from elsewhere, by a file system of fsspec that holds files in memory."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile

from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.data.files import RemoteFile, find_file
from lit_compacter.data.readers import read_rows
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError
from tests.command_line import run_cli
from tests.conftest import TINY
from tests.data.test_streaming import make_trainer

ROWS = [{"text": f"row {i}", "label": ["no", "yes"][i % 2]} for i in range(40)]


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    with fsspec.open("memory://rows/train.jsonl", "w") as file:
        file.write("".join(json.dumps(row) + "\n" for row in ROWS))
    yield
    fsspec.filesystem("memory").store.clear()


def test_names() -> None:
    file = find_file("https://host/a/b.csv?x=1.2", Path("data"))
    assert isinstance(file, RemoteFile) and (file.name, file.suffix) == ("b.csv", ".csv")
    assert find_file("b.csv", Path("data")) == Path("data/b.csv") and find_file("b.csv") == Path("b.csv")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://rows/absent.jsonl", "no file memory://rows/absent.jsonl"),
        ("nowhere://rows/train.jsonl", "cannot open nowhere://rows/train.jsonl: Protocol not known"),
    ],
)
def test_what_cannot_be_read(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(read_rows(RemoteFile(url)))


def test_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The errors of many file systems are not OSErrors."""

    def fail(*_: object) -> bytes:
        raise RuntimeError("payload is not complete.")

    monkeypatch.setattr(MemoryFile, "__next__", fail, raising=False)
    with pytest.raises(UserError, match=r"^cannot read memory://rows/train.jsonl: payload is not complete$"):
        list(read_rows(RemoteFile("memory://rows/train.jsonl")))


@pytest.mark.parametrize("streaming", [False, True])
def test_training_rows(streaming: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"source": "{text}", "target": "label", "labels": ["no", "yes"], "batch_size": 8}
    options |= {"train_file": "memory://rows/train.jsonl", "model_name": str(TINY), "cache_dir": str(tmp_path)}
    data = GlueDataModule(task="text2text", streaming=streaming, **options)
    data.trainer = make_trainer(tmp_path, max_steps=5)
    data.prepare_split("train")
    batches = [batch for batch, _ in zip(data.train_dataloader(), range(5), strict=False)]
    assert sorted(text for batch in batches for text in batch["source"]) == sorted(row["text"] for row in ROWS)


@pytest.mark.soak
def test_a_stream_from_the_hub(tmp_path: Path, standin: tuple[str, Path]) -> None:
    url, root = standin
    (root / "datasets/me/rows").mkdir(parents=True)
    (root / "datasets/me/rows/README.md").write_text("# Rows\n")
    rows = "".join(json.dumps(row) + "\n" for row in ROWS)
    for path in (root / "datasets/me/rows/train.jsonl", tmp_path / "validation.jsonl"):
        path.write_text(rows)
    data = {"train_file": "hf://datasets/me/rows/train.jsonl", "validation_file": tmp_path / "validation.jsonl"}
    data |= {"task": "text2text", "source": "{text}", "target": "label", "labels": '["no", "yes"]', "streaming": "true"}
    options = [f"--data.{name}={value}" for name, value in (data | {"cache_dir": tmp_path / "cache"}).items()]
    options += ["--trainer.max_steps=3", f"--trainer.default_root_dir={tmp_path}", "--run_name=run"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env = ours | {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home")}
    done = run_cli("fit", "--config=demo.yaml", "--data.data_dir=null", *options, env=env)
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 3
    kinds = [path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()]
    assert sorted(kinds) == ["rows", "tokens"], "of the validation rows alone"
