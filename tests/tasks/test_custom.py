"""The user's own task, without code."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset

from lit_compacter.cli.main import main
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.errors import UserError
from lit_compacter.tasks import find_task
from lit_compacter.tasks.answer_metrics import AnswerMetrics
from lit_compacter.tasks.answers import Labels, Number, Text
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
    assert "".join(row["segments"]) == f'question: Who "ran", 1? context: Ann 🙂{space}ran 1.'
    assert row["targets"] == ["Ann"]


def test_kinds_of_answers() -> None:
    text, number = _task(), _task(metrics=["pearson"])
    assert isinstance(text.answer, Text) and text.metrics == ("exact_match", "f1")
    assert isinstance(number.answer, Number) and number.metrics == ("pearson",)
    labels = _task(labels=["no", "true", 3])
    assert labels.answer == Labels(("no", "true", "3"), targets=("no", "true", "3")) and labels.metrics == ("accuracy",)


def _task(**more: Any) -> Any:
    return find_task(options(**{name: value for name, value in own(**more).items() if name != "model_name"}))


def test_numbers_and_lists_in_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": 3, "context": true, "answer": ["Ann", "Bob"]}\n')
    data = GlueDataModule(**own(test_file=str(path)))
    data.setup("test")
    (row,) = data.data["test"].to_list()
    assert "".join(row["segments"]) == "question: 3 context: true" and row["targets"] == ["Ann", "Bob"]


# Names that the program uses itself, or that other columns might be taken for.
COLUMNS = ["label", "labels", "split", "idx", "group", "answers", "targets", "row", "input_ids", "length", "columns"]
COLUMNS += ["segments", "source", "prediction", "num_truncated", "question", "a.b", "0"]
UNUSED: list[Any] = [["a", ["b"]], {"a": 1}, 17293822569102704640, None, 1.5, True, "q-000", -1]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_column_may_have_any_name(suffix: str, tmp_path: Path) -> None:
    """What stands in it arrives as it is: 007 is a text."""
    rows = [dict.fromkeys(COLUMNS, f"00{i}") | {"verdict": "no yes".split()[i % 2]} for i in range(8)]
    path = write(tmp_path / f"x{suffix}", rows)
    files = {"train_file": path, "validation_file": path, "predict_file": path}
    source = " ".join(f"{name} {{{name}}}" for name in COLUMNS)
    data = GlueDataModule(**own(source=source, target="verdict", labels=["no", "yes"], max_source_length=512, **files))
    for role in ("train", "validation", "predict"):
        data.prepare_split(role)
        for number, row in enumerate(data.data[role].to_list()):
            assert "".join(row["segments"]) == " ".join(f"{name} 00{number}" for name in COLUMNS)
            assert row["targets"] == [("no", "yes")[number % 2]]
            assert (row["idx"], row["row"], row["group"]) == (number, number, number)
            assert row["split"] == (f"x{suffix}" if role == "predict" else role)


@pytest.mark.parametrize("name", [*COLUMNS, "more"])
def test_a_column_that_no_option_names_is_not_read(name: str, tmp_path: Path) -> None:
    """Whatever it holds, and if another row holds something else. The target may have any of the names, too."""
    rows = [{"text": f"Ann {i}.", "verdict": "yes", name: value} for i, value in enumerate(UNUSED)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = GlueDataModule(**own(source="{text}", target="verdict", train_file=str(tmp_path / "x.jsonl")))
    data.prepare_split("train")
    assert ["".join(segments) for segments in data.data["train"]["segments"]] == [row["text"] for row in rows]
    path = write(tmp_path / "y.jsonl", [{"text": "Ann.", name: f"my {name}"}])
    data = GlueDataModule(**own(source="{text}", target=name, train_file=path))
    data.prepare_split("train")
    assert list(data.data["train"]["targets"]) == [[f"my {name}"]]


def test_rows_of_ones_own_have_no_groups(tmp_path: Path) -> None:
    """So exact_match of labels counts rows, whatever a column is named."""
    rows = [{"text": f"Ann {i}.", "group": "one", "verdict": "yes"} for i in range(8)]
    given = {"metrics": ["accuracy", "exact_match"], "labels": ["no", "yes"], "source": "{text}", "target": "verdict"}
    data = GlueDataModule(**own(test_file=write(tmp_path / "x.csv", rows), **given))
    data.prepare_split("test")
    metrics = AnswerMetrics(data.task.answer, data.task.metrics)
    metrics.update(
        ["yes", "yes", "no", "?"] * 2, *(list(data.data["test"][name]) for name in ("targets", "group", "row"))
    )
    assert {name: value.item() for name, value in metrics.compute().items() if name != "invalid"} == {
        "accuracy": 0.5,
        "exact_match": 0.5,
        "score": 0.5,
    }


@pytest.mark.parametrize(
    ("given", "stage", "message"),
    [
        (
            {"labels": ["Ann", "Bob"], "metrics": ["gender_parity"]},
            "fit",
            "gender_parity compares the two rows of a pa",
        ),
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
        ({"labels": ["Ann", "«"]}, "fit", "the model's vocabulary cannot express the label '«': it comes back as"),
        ({"metrics": ["pearsn"]}, "fit", "numbers: pearson, spearman; .*did you mean 'pearson'"),
        ({"train_file": "blank.csv"}, "fit", r"blank.csv:3: answer is empty"),
        ({"train_file": None}, "fit", "no train rows are given: name their file with --data.train_file"),
        ({"validation_file": None}, "fit", "no validation rows are given: name their file with --data.validation_file"),
        ({}, "predict", "no test rows are given: name their file with --data.test_file"),
        ({"train_file": "none.csv"}, "fit", "no file .*none.csv$"),
        ({"train_file": "empty.csv"}, "fit", "empty.csv holds no rows"),
        (
            {"train_file": "braces.jsonl"},
            "fit",
            r"braces.jsonl:2: no field 'question'; found no fields; data.so",
        ),
    ],
)
def test_mistakes(given: dict[str, Any], stage: str, message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("train.csv"), ROWS)
    write(Path("validation.csv"), ROWS[:3])
    Path("empty.csv").write_text("question,context,answer\n")
    Path("braces.jsonl").write_text(json.dumps(ROWS[0]) + "\n{}\n")
    Path("blank.csv").write_text("question,context,answer\nWho?,Ann ran.,Ann\nWho?,Bob ran.,\n")
    files = {"train_file": "train.csv", "validation_file": "validation.csv"}
    with pytest.raises(UserError, match=message):
        GlueDataModule(**own(**(files | given))).setup(stage)


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
