"""The user's own task, without code."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset

from lit_compacter.answers import Labels, Number, Text
from lit_compacter.cli import main
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError
from lit_compacter.tasks import find_task
from tests.conftest import DEMO, ROOT, TINY
from tests.tasks.test_tasks import options

ROWS = [
    {"question": f'Who "ran", {i}?', "context": f"Ann 🙂\tran {i}.", "answer": "Ann", "score": i / 2} for i in range(8)
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    """The rows as a file of the kind that the suffix says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        Dataset.from_list(rows).to_csv(path)
    elif path.suffix == ".parquet":
        Dataset.from_list(rows).to_parquet(path)
    else:
        names = list(rows[0])
        path.write_text(
            "\n".join(
                "\t".join(str(row[n]).replace("\t", " ") for n in names)
                for row in [dict(zip(names, names, strict=True)), *rows]
            )
        )
    return str(path)


def own(**more: Any) -> dict[str, Any]:
    template = {"source": "question: {question} context: {context}", "target": "answer"}
    return {"task": "text2text", "model_name": str(TINY)} | template | more


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_files_of_every_kind(suffix: str, tmp_path: Path) -> None:
    train, other = (write(tmp_path / f"{name}{suffix}", rows) for name, rows in (("a", ROWS), ("b", ROWS[:3])))
    data = GlueDataModule(**own(train_file=train, validation_file=other, test_file=other))
    for stage in ("fit", "test", "predict"):
        data.setup(stage)
    assert {role: len(rows) for role, rows in data.data.items()} == {
        "train": 8,
        "validation": 3,
        "test": 3,
        "predict": 3,
    }
    space = " " if suffix == ".tsv" else "\t"
    row = data.data["train"][1]
    assert "".join(row["pieces"]) == f'question: Who "ran", 1? context: Ann 🙂{space}ran 1.'
    assert row["targets"] == ["Ann"]


def test_kinds_of_answers() -> None:
    text, number = _task(), _task(metrics=["pearson"])
    assert isinstance(text.answer, Text) and text.metrics == ("exact_match", "f1")
    assert isinstance(number.answer, Number) and number.metrics == ("pearson",)
    labels = _task(labels=["no", "true", 3])
    assert labels.answer == Labels(("no", "true", "3"), texts=("no", "true", "3")) and labels.metrics == ("accuracy",)


def _task(**more: Any) -> Any:
    return find_task(options(**{name: value for name, value in own(**more).items() if name != "model_name"}))


def test_numbers_and_lists_in_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": 3, "context": true, "answer": ["Ann", "Bob"]}\n')
    data = GlueDataModule(**own(test_file=str(path)))
    data.setup("test")
    (row,) = data.data["test"].to_list()
    assert "".join(row["pieces"]) == "question: 3 context: true" and row["targets"] == ["Ann", "Bob"]


@pytest.mark.parametrize(
    ("given", "stage", "message"),
    [
        ({"source": None}, "fit", r"task text2text needs a template of the input: --data.source"),
        ({"target": None}, "fit", "task text2text needs --data.target, the column of the answer"),
        (
            {"source": "{quest}"},
            "fit",
            r"train.csv:2: no field 'quest'; found 'question', 'context', 'answer', 'score'; data.source and",
        ),
        ({"source": "no column"}, "fit", "template 'no column' names no column"),
        ({"labels": ["Ann"]}, "fit", "data.labels are Ann; expected two or more, all different"),
        ({"labels": ["Ann", "Ann"]}, "fit", "data.labels are Ann, Ann; expected two or more, all different"),
        ({"labels": ["Bob", "Eve"]}, "fit", r"train.csv:2: answer is Ann; expected one of Bob, Eve"),
        (
            {"metrics": ["accuracy"]},
            "fit",
            "metric 'accuracy' does not fit answers that are text; there are labels: acc",
        ),
        ({"metrics": ["pearson"]}, "fit", r"train.csv:2: answer is Ann; expected a number"),
        ({"metrics": ["pearson", "rouge"]}, "fit", "metric 'rouge' does not fit answers that are numbers"),
        ({"target": "reply"}, "fit", r"train.csv:2: no field 'reply'; found 'question'"),
        (
            {"labels": [True, False]},
            "fit",
            r"data.labels: YAML reads yes, no, true and false as booleans; quote th",
        ),
        ({"labels": ["Ann", "«"]}, "fit", "the model's vocabulary cannot write the label '«': it comes back as"),
        ({"metrics": ["pearsn"]}, "fit", "numbers: pearson, spearman; .*did you mean 'pearson'"),
        ({"train_file": "blank.csv"}, "fit", r"blank.csv:3: answer is empty"),
        ({"train_file": None}, "fit", "no train rows are given: name their file with --data.train_file"),
        ({"validation_file": None}, "fit", "no validation rows are given: name their file with --data.validation_file"),
        ({}, "predict", "no test rows are given: name their file with --data.test_file"),
        ({"train_file": "none.csv"}, "fit", "no file .*none.csv$"),
        ({"train_file": "empty.csv"}, "fit", "empty.csv holds no rows"),
    ],
)
def test_mistakes(given: dict[str, Any], stage: str, message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("train.csv"), ROWS)
    write(Path("validation.csv"), ROWS[:3])
    Path("empty.csv").write_text("question,context,answer\n")
    Path("blank.csv").write_text("question,context,answer\nWho?,Ann ran.,Ann\nWho?,Bob ran.,\n")
    files = {"train_file": "train.csv", "validation_file": "validation.csv"}
    with pytest.raises(UserError, match=message):
        GlueDataModule(**own(**(files | given))).setup(stage)


def test_validation_rows_that_are_the_training_rows(tmp_path: Path) -> None:
    train, validation = (write(tmp_path / name, ROWS) for name in ("a.jsonl", "b.jsonl"))
    with pytest.warns(UserWarning, match=r"b\.jsonl holds the same rows as data.train_file: the score will say n"):
        GlueDataModule(**own(train_file=train, validation_file=validation)).setup("fit")


@pytest.mark.usefixtures("_project_root")
def test_every_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example in configs/, cut short; predict needs no more than the checkpoint and the run's config."""
    monkeypatch.chdir(ROOT)
    common = [f"--trainer.default_root_dir={tmp_path}", "--run_name=run", "--trainer.enable_progress_bar=false"]
    common += [f"--model.model_name={TINY}", "--trainer.accelerator=cpu", "--trainer.logger=false"]
    main(["fit", "--config=text2text.yaml", *common, "--trainer.max_epochs=1", "--trainer.limit_train_batches=1"])
    main(["validate", "--config=text2text.yaml", *common, "--ckpt_path=best"])
    more = tmp_path / "more.jsonl"
    more.write_text('{"sentence1": "Ann ran.", "sentence2": "Ann moved."}\n')
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]
    assert config["labels"] == ["entailment", "not_entailment"]
    main(["predict", "--config=text2text.yaml", *common, "--ckpt_path=best", f"--data.predict_file={more}"])
    assert not list((tmp_path / "run").glob("[A-Z]*")), "no leaderboard's file"
    (record,) = map(json.loads, (tmp_path / "run" / "predictions.jsonl").read_text().splitlines())
    assert record["source"] == "premise: Ann ran. hypothesis: Ann moved." and record["split"] == "more.jsonl"
    assert "val/accuracy" in json.loads((tmp_path / "run" / "metrics.json").read_text())


@pytest.mark.usefixtures("_project_root")
def test_its_checkpoint_says_nothing_of_other_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    common = [f"--trainer.default_root_dir={tmp_path}", "--trainer.enable_progress_bar=false"]
    common += [f"--model.model_name={TINY}", "--trainer.accelerator=cpu", "--trainer.logger=false"]
    fit = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"]
    main(["fit", "--config=text2text.yaml", "--run_name=own", *common, *fit])
    checkpoint = tmp_path / "own" / "checkpoints" / "best.ckpt"
    with pytest.warns(UserWarning, match="the checkpoint was trained on text2text"):
        main(
            [
                "test",
                "--config=rte.yaml",
                f"--data.data_dir={DEMO}",
                *common,
                "--trainer.limit_test_batches=1",
                f"--ckpt_path={checkpoint}",
            ]
        )
