"""Rows on disk: read once, and again only when the files, the task or the code have changed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lit_compacter.data import rows as module
from lit_compacter.data.rows import load_rows
from lit_compacter.data.sources import Source, from_file, from_files
from lit_compacter.errors import UserError
from lit_compacter.tasks import TASKS
from lit_compacter.tasks.templates import Template
from tests.official_data import BENCHMARKS


def source(folder: Path, name: str = "rte", split: str = "train") -> Source:
    if not folder.exists():
        BENCHMARKS[name].write_files(folder)
    return from_files(TASKS[name], split, folder)


def test_rows_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, cache, folder = TASKS["rte"], str(tmp_path / "cache"), tmp_path / "data"
    first = load_rows(source(folder), task, False, cache)
    assert first.table.to_list() == load_rows(source(folder), task, False, cache).table.to_list()
    expected = [(task.segments(row), task.targets(row), row.idx) for row in source(folder).rows]
    assert [(row["segments"], row["targets"], row["idx"]) for row in first.table.to_list()] == expected

    def never(*_: object) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", never)
        (folder / "RTE").rename(tmp_path / "moved")
        (tmp_path / "other").mkdir()
        (tmp_path / "moved").rename(tmp_path / "other" / "RTE")
        assert load_rows(source(tmp_path / "other"), task, False, cache).key == first.key, "the place does not matter"
    keys = {first.key, load_rows(source(tmp_path / "other"), task, True, cache).key}
    keys.add(load_rows(source(tmp_path / "other"), replace(task, prefix="other"), False, cache).key)
    keys.add(load_rows(source(tmp_path / "other", split="validation"), task, False, cache).key)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_code_digest", lambda: "another version")
        keys.add(load_rows(source(tmp_path / "other"), task, False, cache).key)
    with (tmp_path / "other/RTE/train.tsv").open("a") as file:
        file.write("99\ta\tb\tentailment\n")
    keys.add(load_rows(source(tmp_path / "other"), task, False, cache).key)
    assert len(keys) == 6 == len(list((tmp_path / "cache").iterdir()))


def test_the_same_bytes_as_another_type_of_file(tmp_path: Path) -> None:
    task = replace(TASKS["rte"], template=Template("{text}"), columns={})
    texts = []
    for name in ("rows.csv", "rows.tsv"):
        path = tmp_path / name
        path.write_text('text\n"tea"\n')
        rows = load_rows(replace(from_file(task, path), split="test"), task, False, str(tmp_path))
        texts.append("".join(rows.table[0]["segments"]))
    assert texts == ["tea", '"tea"']


def test_groups(tmp_path: Path) -> None:
    """Numbered as they appear; a row without one is alone."""
    grouped = load_rows(source(tmp_path / "a", "multirc"), TASKS["multirc"], False, str(tmp_path))
    assert grouped.groups.tolist()[:6] == [0, 0, 1, 2, 2, 2]
    assert grouped.table[0]["idx"] == {"paragraph": 0, "question": 0, "answer": 0}
    alone = load_rows(source(tmp_path / "b"), TASKS["rte"], False, str(tmp_path))
    assert alone[::-1].groups.tolist() == list(range(len(alone)))[::-1]


def test_unlabeled_rows_are_counted(tmp_path: Path) -> None:
    labeled, unlabeled = (
        load_rows(source(tmp_path / "data", split=split), TASKS["rte"], False, str(tmp_path))
        for split in ("validation", "test")
    )
    assert labeled.num_unlabeled == 0 and unlabeled[1:].num_unlabeled == len(unlabeled) - 1


def test_a_broken_row_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "data/CB/train.jsonl"
    path.parent.mkdir(parents=True)
    row = {"premise": "a", "hypothesis": "b", "label": "neutral"}
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(2500)) + '{"premise": "a"')
    with pytest.raises(UserError, match=r"train.jsonl:2501: not JSON"):
        load_rows(source(tmp_path / "data", "cb"), TASKS["cb"], False, str(tmp_path / "cache"))
    assert not list((tmp_path / "cache").iterdir())
