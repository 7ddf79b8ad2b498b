"""From files to padded batches."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.trainer.states import TrainerFn
from transformers import AutoTokenizer

from lit_compacter.data.collate import collate
from lit_compacter.data.loaders import ResumableLoader
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError
from tests.conftest import DEMO, TINY, shared
from tests.official_data import BENCHMARKS


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def make(task: str, data_dir: Path, *stages: str, **more: Any) -> GlueDataModule:
    options = {"model_name": str(TINY), "batch_size": 16, "max_source_length": 64} | more
    data = GlueDataModule(task=task, data_dir=str(data_dir), **options)
    for stage in stages:
        data.setup(stage)
    return data


def test_padding() -> None:
    columns: dict[str, list[Any]] = {"input_ids": [[5, 6, 1], [7, 1]], "labels": [[8, 1], [1]]}
    columns |= {name: [[], []] for name in ("segments", "targets", "group", "split", "idx", "row")}
    batch = collate(columns, pad_token_id=0)
    assert batch["input_ids"].tolist() == [[5, 6, 1], [7, 1, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[8, 1], [1, -100]]


def test_batches_are_the_tokenized_text() -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    batch = next(iter(make("rte", DEMO, "fit").train_dataloader()))
    for ids, mask, source in zip(batch["input_ids"], batch["attention_mask"], batch["source"], strict=True):
        expected = tokenizer(source).input_ids
        assert ids[mask.bool()].tolist() == expected and expected[-1] == tokenizer.eos_token_id
    targets = [[tokenizer.decode(ids[ids != -100], skip_special_tokens=True)] for ids in batch["labels"]]
    assert targets == batch["targets"] and {target for (target,) in targets} == {"0", "1"}


def test_roles() -> None:
    data = make("rte", DEMO, "fit", "test", "predict").data
    assert {role: len(rows) for role, rows in data.items()} == {
        "train": 2000,
        "validation": 400,
        "test": 400,
        "predict": 200,
    }
    sources = {role: {"".join(segments) for segments in rows["segments"]} for role, rows in data.items()}
    held_out = sources["validation"] | sources["test"]
    assert len(held_out) == 800 and not held_out & sources["train"]
    assert list(data["predict"]["targets"]) == [[]] * 200


def test_official_split() -> None:
    data = make("rte", DEMO, "fit", split="official")
    assert (len(data.data["train"]), len(data.data["validation"])) == (2000, 800)
    with pytest.raises(UserError, match="rows of rte for test have no labels; a benchmark's test set is for predict"):
        data.setup("test")


def test_few_training_rows_are_nested() -> None:
    some, more = (make("rte", DEMO, "fit", max_train_samples=count) for count in (100, 500))
    assert (len(some.data["train"]), len(more.data["train"])) == (100, 500)
    assert set(some.data["train"]["idx"]) < set(more.data["train"]["idx"])
    assert len(some.data["validation"]) == 400
    others = make("rte", DEMO, "fit", max_train_samples=100, data_seed=1)
    assert set(others.data["train"]["idx"]) != set(some.data["train"]["idx"])


def test_questions_stay_together(tmp_path: Path) -> None:
    BENCHMARKS["multirc"].write_files(tmp_path)
    data = make("multirc", tmp_path, "fit", "test").data
    questions = [{idx["question"] for idx in data[role]["idx"]} for role in ("validation", "test")]
    assert questions[0] and questions[1] and not questions[0] & questions[1]
    groups = [[list(data["train"]["group"])[i] for i in rows] for rows in ([0, 1], [2], [3, 4, 5])]
    assert groups == [[0, 0], [1], [2, 2, 2]]


def test_several_answers(tmp_path: Path) -> None:
    """A training row per answer, one evaluation row per query."""
    BENCHMARKS["record"].write_files(tmp_path)
    data = make("record", tmp_path, "fit", "test").data
    train = data["train"]
    assert len(set(train["idx"])) == 11 and len(train) == len(
        {(i, t[0]) for i, t in zip(train["idx"], train["targets"], strict=True)}
    )
    assert all(len(targets) == 1 for targets in train["targets"]) and len(train) > 11
    assert len(data["validation"]) == 1 and len(data["test"]) == 6
    assert list(data["test"]["targets"])[2] == ["Ann", "Bob"]


def test_predict_reads_every_test_set_in_official_order(tmp_path: Path) -> None:
    BENCHMARKS["mnli"].write_files(tmp_path)
    rows = make("mnli", tmp_path, "predict").data["predict"]
    assert list(rows["split"]) == ["test_matched"] * 5 + ["test_mismatched"] * 5
    assert list(rows["idx"]) == [*range(5), *range(5)] and list(rows["row"]) == list(range(10))


def test_predict_file(tmp_path: Path) -> None:
    path = tmp_path / "my.jsonl"
    path.write_text(json.dumps({"sentence1": "Tom eats.", "sentence2": "He eats.", "label": "entailment"}) + "\n")
    rows = make("rte", tmp_path / "none", "predict", predict_file=str(path)).data["predict"].to_list()
    assert [(row["split"], row["idx"], row["targets"]) for row in rows] == [("my.jsonl", 0, ["0"])]


def test_task_name_prefix() -> None:
    data = make("rte", DEMO, "test", add_task_name=True)
    assert all(segments[0] == "rte sentence1: " for segments in data.data["test"]["segments"])


def test_longest_target() -> None:
    data = make("rte", DEMO)
    assert data.max_target_length == 1 + len(data.tokenizer("0").input_ids)
    assert make("rte", DEMO, max_target_length=7).max_target_length == 7


def test_training_order_follows_the_epoch() -> None:
    loader = make("rte", DEMO, "fit").train_dataloader()
    assert isinstance(loader, ResumableLoader)
    first = [batch["idx"] for batch in loader]
    loader.sampler.set_epoch(1)
    assert first != [batch["idx"] for batch in loader]
    assert torch.tensor([idx for batch in first for idx in batch]).sort().values.equal(torch.arange(2000))


LIMITS: list[dict[str, Any]] = [
    {"limit_val_batches": 2, "limit_test_batches": 2, "limit_predict_batches": 2},
    {"limit_val_batches": 0.08, "limit_test_batches": 0.08, "limit_predict_batches": 0.16},
]


@pytest.mark.parametrize("limits", LIMITS)
def test_the_trainer_takes_a_fair_sample(limits: dict[str, Any], tmp_path: Path) -> None:
    """It takes what the sampler drew for it, and the run says what that is."""
    data = make("rte", DEMO, "fit", "test", "predict")
    trainer = Trainer(accelerator="cpu", logger=False, limit_train_batches=3, default_root_dir=tmp_path, **limits)
    data.trainer = trainer
    for role, total in (("validation", 400), ("test", 400), ("predict", 200)):
        loader = getattr(data, f"{role.removesuffix('idation')}_dataloader")()
        name = f"limit_{role.removesuffix('idation')}_batches"
        assert len(loader) == -(-total // 16), "of which Lightning takes a share"
        rows = [row for batch in loader for row in batch["row"]]
        lengths = np.array(data.data[role]["length"])
        assert len(rows) == 32 and abs(lengths[rows].mean() / lengths.mean() - 1) < 0.05
        drawn = f"32 of {total} rows, drawn by data.data_seed (trainer.{name} {limits[name]})"
        assert data.describe_sample(role) == drawn
    assert (
        data.describe_sample("train") == "48 of 2,000 rows, drawn anew for each epoch (trainer.limit_train_batches 3)"
    )
    data.options.max_tokens_per_batch = 100
    batches = len(data.train_dataloader())
    assert data.describe_sample("train") == (
        f"{math.ceil(3 * 2000 / batches)} of 2,000 rows, drawn anew for each epoch (trainer.limit_train_batches 3)"
    )
    data.trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    assert [data.describe_sample(role) for role in data.data] == [None] * 4


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batches_for_a_gpu_are_pinned(device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make("rte", DEMO, "fit")
    data.trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    monkeypatch.setattr(type(data.trainer.strategy), "root_device", torch.device(device))
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert loader.pin_memory == (device == "cuda")


def test_other_validation_rows_after_a_stop(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """They choose best.ckpt. Evaluation may take any rows."""
    state = make("rte", DEMO, "fit").state_dict()
    for seed, fn, warned in ((42, "fit", False), (1, "validate", False), (1, "fit", True)):
        data = make("rte", DEMO, "validate", data_seed=seed)
        data.trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
        data.trainer.state.fn = TrainerFn(fn)
        recwarn.clear()
        data.load_state_dict(state)
        told = [str(warning.message) for warning in recwarn]
        assert any(line.startswith("the validation rows have changed since the checkpoint") for line in told) == warned
    assert make("rte", DEMO, "test").state_dict() == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("rte", (2490, 138, 139)),
        ("cb", (250, 28, 28)),
        ("boolq", (32, 1635, 1635)),
        ("record", (41, 3, 32)),  # 29 queries, 3 and 32
    ],
)
def test_sizes_on_real_data(name: str, sizes: tuple[int, ...]) -> None:
    data = make(name, shared("data", "glue" if name == "rte" else "superglue"), "fit", "test").data
    assert tuple(len(data[role]) for role in ("train", "validation", "test")) == sizes
