"""From files to padded batches."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from lit_compacter.datamodule import GlueDataModule, pad
from lit_compacter.errors import UserError
from tests.conftest import DEMO, TINY


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GlueDataModule:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    return GlueDataModule("rte", str(TINY), data_dir=str(DEMO), batch_size=16, max_source_length=32)


def test_padding() -> None:
    columns: dict[str, list[Any]] = {
        "input_ids": [[5, 6, 1], [7, 1]],
        "labels": [[8, 1], [1]],
        "source": ["", ""],
        "target": ["", ""],
    }
    batch = pad(columns | {"idx": [0, 1]}, pad_token_id=0)
    assert batch["input_ids"].tolist() == [[5, 6, 1], [7, 1, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[8, 1], [1, -100]]


def test_batches_are_the_tokenised_text(data: GlueDataModule) -> None:
    data.setup("fit")
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    batch = next(iter(data.train_dataloader()))
    for ids, mask, source in zip(batch["input_ids"], batch["attention_mask"], batch["source"], strict=True):
        expected = tokenizer(source, truncation=True, max_length=32).input_ids
        assert ids[mask.bool()].tolist() == expected and expected[-1] == tokenizer.eos_token_id
    targets = [tokenizer.decode(ids[ids != -100], skip_special_tokens=True) for ids in batch["labels"]]
    assert targets == batch["target"] and set(targets) == {"0", "1"}


def test_roles(data: GlueDataModule) -> None:
    for stage in ("fit", "test", "predict"):
        data.setup(stage)
    assert {role: len(rows) for role, rows in data.data.items()} == {
        "train": 2000,
        "validation": 400,
        "test": 400,
        "predict": 200,
    }
    held_out = set(data.data["validation"]["source"]) | set(data.data["test"]["source"])
    assert len(held_out) == 800 and not held_out & set(data.data["train"]["source"])
    assert set(data.data["predict"]["target"]) == {""}


def test_tokens_are_cached_by_content(data: GlueDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data.setup("test")
    files = {path.name for path in (tmp_path / "lit_compacter").iterdir()}

    def never(self: GlueDataModule, texts: object) -> None:
        raise AssertionError("tokenised again")

    with monkeypatch.context() as patch:
        patch.setattr(GlueDataModule, "_tokenise", never)
        again = GlueDataModule("rte", str(TINY), data_dir=str(DEMO), max_source_length=32)
        again.setup("test")
        assert again.data["test"]["input_ids"] == data.data["test"]["input_ids"]
    longer = GlueDataModule("rte", str(TINY), data_dir=str(DEMO), max_source_length=48)
    longer.setup("test")
    assert {path.name for path in (tmp_path / "lit_compacter").iterdir()} > files


def test_generation_may_go_one_token_past_the_longest_label(data: GlueDataModule) -> None:
    assert data.max_target_length == 1 + len(data.tokenizer("0").input_ids)


def test_task_name_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    data = GlueDataModule("rte", str(TINY), data_dir=str(DEMO), add_task_name=True)
    data.setup("test")
    assert all(source.startswith("rte sentence1: ") for source in data.data["test"]["source"])


def test_no_tokenizer(tmp_path: Path) -> None:
    for name, message in ((tmp_path / "none", "no folder"), (tmp_path, "cannot load a tokenizer")):
        data = GlueDataModule("rte", str(name), data_dir=str(DEMO))
        with pytest.raises(UserError, match=message):
            data.setup("test")


def test_training_order_follows_the_epoch(data: GlueDataModule) -> None:
    data.setup("fit")
    loader = data.train_dataloader()
    first = [batch["idx"] for batch in loader]
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    assert first != [batch["idx"] for batch in loader]
    assert torch.tensor([idx for batch in first for idx in batch]).sort().values.equal(torch.arange(2000))
