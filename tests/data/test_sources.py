"""Rows from official files and from the hub; what is wrong is named with file and line.

That both sources give the same rows is tested for every task in tests/tasks.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lit_compacter.data.sources import Row, from_file, from_files
from lit_compacter.errors import UserError
from lit_compacter.tasks import TASKS
from lit_compacter.tasks.answers import Text
from tests.conftest import shared

HEADER = "index\tsentence1\tsentence2\tlabel\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def rows(name: str, data_dir: Path, split: str = "train") -> list[Row]:
    return list(from_files(TASKS[name], split, data_dir).rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "0\ta\tb\n", r"train.tsv:2: expected 4 columns, found 3"),
        (HEADER + "0\ta\tb\tmaybe\n", r"train.tsv:2: label is maybe; expected one of entailment, not_ent"),
        (HEADER + "0\ta\tb\t-1\n", r"train.tsv:2: label is empty"),
        ("index\tsentence1\tsentence2\n0\ta\tb\n", r"train.tsv:2: no field 'label'; found 'idx', 'sentence1'"),
        ("index\tsentence1\tlabel\n0\ta\tentailment\n", r"train.tsv:2: no field 'sentence2'; found 'idx', 'sentence1'"),
        (HEADER, r"train.tsv holds no rows"),
        ("", r"train.tsv holds no rows"),
        (HEADER + "x\ta\tb\tentailment\n", r"train.tsv:2: index 'x' is not a number"),
        (HEADER + "-1\ta\tb\tentailment\n", r"train.tsv:2: index '-1' is not a number"),
    ],
)
def test_bad_tsv(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "RTE/train.tsv", text)
    with pytest.raises(UserError, match=message):
        rows("rte", tmp_path)


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("cb", '{"premise": "a", "idx": 0, "label": "neutral"}', r":1: no field 'hypothesis'; found 'premise', 'idx'"),
        ("cb", '{"premise": null, "hypothesis": "b", "label": "neutral"}', r":1: premise is null; expected a text"),
        ("cb", '{"premise": "a", "hypothesis": "b", "idx": "x", "label": "neutral"}', r":1: index 'x' is not a num"),
        ("cb", '{"premise": "a", "hypothesis": "b", "idx": [1], "label": "neutral"}', r":1: index \[1\] is not a numb"),
        ("cb", '\n{"premise": "a", "hypothesis": "b", "label": 7}', r":2: label is 7; expected one of entail"),
        ("multirc", '{"idx": 0, "passage": {"text": "a"}}', r":1: no field 'questions'"),
        ("multirc", '{"idx": 0, "passage": ["text"]}', r":1: not in the benchmark's format"),
        (
            "record",
            '{"idx": 0, "passage": {"text": "a", "entities": [{"start": 0}]}, "qas": []}',
            r":1: no field 'end'",
        ),
        ("wsc", '{"text": "a b", "target": {"span1_index": 0}}', r":1: no field 'span1_text'"),
        (
            "wsc",
            '{"text": "a", "label": true, "target": {"span1_index": 5, "span1_text": "x", "span2_index": 0, '
            '"span2_text": "a"}}',
            r":1: the text has no word 5, where its span 'x' should begin",
        ),
        (
            "wsc",
            '{"text": "a", "label": true, "target": {"span1_index": -1, "span1_text": "x", "span2_index": 0, '
            '"span2_text": "a"}}',
            r":1: span1_index is -1; expected a whole number, 0 or more",
        ),
    ],
)
def test_bad_jsonl(task: str, text: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / TASKS[task].files.folder / "train.jsonl", text)
    with pytest.raises(UserError, match=message):
        rows(task, tmp_path)


def test_short_rows_of_qqp_are_left_out_as_on_the_hub(tmp_path: Path) -> None:
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"
    write(tmp_path / "QQP/train.tsv", f"{header}\n7\t1\t2\tWho?\n8\t1\t2\tWho?\tWhom?\t1\n")
    assert rows("qqp", tmp_path) == [Row({"question1": "Who?", "question2": "Whom?"}, label="1", idx=1)]


@pytest.mark.parametrize("column", ["sentence1", "label"])
def test_half_a_character(column: str, tmp_path: Path) -> None:
    row = {"sentence1": "x", "sentence2": "y", "label": None, "not read": "\ud83c"}
    path = write(tmp_path / "x.jsonl", json.dumps(row) + "\n" + json.dumps(row | {column: "tea \ud83c"}) + "\n")
    with pytest.raises(UserError, match=r"x.jsonl:2: '\\ud83c' is half of a character; remove it"):
        list(from_file(replace(TASKS["rte"], answer=Text(), metrics=("exact_match",)), path).rows)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*RTE/train.tsv; --data.data_dir must be the folder that holds"):
        rows("rte", tmp_path)


def test_any_file_with_the_tasks_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "my.jsonl", '{"idx": "a7", "sentence1": "x", "sentence2": "y", "group": [1], "split": 2}\n')
    assert list(from_file(TASKS["rte"], path).rows) == [Row({"sentence1": "x", "sentence2": "y"}, label=None, idx=0)]
    flat = '{"query": "@placeholder ran.", "entities": ["Bob", "Ann"], "passage": "Ann and Bob ran."}\n'
    (row,) = from_file(TASKS["record"], write(tmp_path / "record.jsonl", flat)).rows
    assert row.columns["entities"] == "Ann, Bob" and row.label is None
    bad = '{"query": "@placeholder ran.", "entities": [1], "passage": "Ann ran."}\n'
    with pytest.raises(UserError, match=r"bad.jsonl:1: entities is \[1\]; expected a list of texts"):
        list(from_file(TASKS["record"], write(tmp_path / "bad.jsonl", bad)).rows)
    table = "text,span1_index,span1_text,span2_index,span2_text,label\nAnn saw her.,0,Ann,2,her,\n"
    (row,) = from_file(TASKS["wsc"], write(tmp_path / "wsc.csv", table)).rows
    assert row.columns["text"] == "* Ann * saw # her #." and row.label is None
    flat = '{"question": "Who?", "answer": "Ann", "paragraph": "<b>Ann</b> ran.", "label": 1}\n'
    (row,) = from_file(TASKS["multirc"], write(tmp_path / "multirc.jsonl", flat)).rows
    assert row.columns["paragraph"] == "Ann ran." and row.label == "1" and row.group is None


OFFICIAL = {
    "rte": ("glue", 2490, 277, 3000),
    "mrpc": ("glue", 3668, 408, 1725),
    "cola": ("glue", 8551, 1043, 1063),
    "superglue-rte": ("superglue", 2490, 277, 3000),
    "cb": ("superglue", 250, 56, 250),
    "copa": ("superglue", 400, 100, 500),
    "boolq": ("superglue", 32, 3270, 3245),
    "multirc": ("superglue", 27243, 4848, 9693),
    "record": ("superglue", 32, 32, None),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_counts(name: str) -> None:
    folder, *counts = OFFICIAL[name]
    for split, count in zip(("train", "validation", "test"), counts, strict=True):
        if count is None:
            continue
        found = rows(name, shared("data", str(folder)), split)
        assert len(found) == count
        assert all((row.label is None) == (split == "test") for row in found)
        if name not in ("multirc", "record", "boolq") and split == "test":
            assert [row.idx for row in found] == list(range(count))
