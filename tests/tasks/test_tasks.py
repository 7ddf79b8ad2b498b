"""Each task's text pair, literally; and every task from both sources."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lit_compacter.data.options import DataOptions
from lit_compacter.data.sources import Row, from_files, from_hub
from lit_compacter.errors import UserError
from lit_compacter.tasks import TASKS, find_task
from tests.official_data import BENCHMARKS, COUNTS

# Row as the hub has it, its label as files have it → source, target.
PAIRS: dict[str, tuple[dict[str, Any], str, str]] = {
    "rte": (
        {"sentence1": "No weapons were found.", "sentence2": "Weapons were found.", "label": "not_entailment"},
        "sentence1: No weapons were found. sentence2: Weapons were found.",
        "1",
    ),
    "mrpc": (
        {"sentence1": "He said so.", "sentence2": "So he said.", "label": "1"},
        "sentence1: He said so. sentence2: So he said.",
        "1",
    ),
    "cola": (
        {"sentence": "The book was by John written.", "label": "0"},
        "sentence: The book was by John written.",
        "0",
    ),
    "sst2": ({"sentence": "a gorgeous film", "label": "1"}, "sentence: a gorgeous film", "1"),
    "qqp": (
        {"question1": "How old is it?", "question2": "What is its age?", "label": "1"},
        "question1: How old is it? question2: What is its age?",
        "1",
    ),
    "stsb": (
        {"sentence1": "A plane takes off.", "sentence2": "A plane departs.", "label": "4.75"},
        "sentence1: A plane takes off. sentence2: A plane departs.",
        "4.8",
    ),
    "mnli": (
        {"premise": "It was cold.", "hypothesis": "It snowed.", "label": "neutral"},
        "premise: It was cold. hypothesis: It snowed.",
        "1",
    ),
    "ax": (
        {"premise": "The cat sat.", "hypothesis": "The cat did not sit.", "label": "contradiction"},
        "premise: The cat sat. hypothesis: The cat did not sit.",
        "2",
    ),
    "qnli": (
        {"question": "When did it open?", "sentence": "It opened in 1902.", "label": "entailment"},
        "question: When did it open? sentence: It opened in 1902.",
        "0",
    ),
    "wnli": (
        {"sentence1": "The cup fell off the table as it shook.", "sentence2": "The cup shook.", "label": "0"},
        "sentence1: The cup fell off the table as it shook. sentence2: The cup shook.",
        "0",
    ),
    "boolq": (
        {"question": "is tea a drink", "passage": "Tea -- Tea is a drink.", "label": True},
        "question: is tea a drink passage: Tea -- Tea is a drink.",
        "1",
    ),
    "cb": (
        {"premise": "She did not think so.", "hypothesis": "It was so.", "label": "neutral"},
        "premise: She did not think so. hypothesis: It was so.",
        "2",
    ),
    "copa": (
        {"premise": "It rained.", "question": "effect", "choice1": "I got wet.", "choice2": "I ate.", "label": 0},
        "premise: It rained. question: effect choice1: I got wet. choice2: I ate.",
        "0",
    ),
    "multirc": (
        {"paragraph": "<b>Tom</b> ate.<br>It was soup.", "question": "What was it?", "answer": "soup", "label": 1},
        "question: What was it? answer: soup paragraph: Tom ate. It was soup.",
        "1",
    ),
    "record": (
        {
            "passage": "Ann met Bob\n@highlight\nIt rained!\n@highlight\nBob was late",
            "query": "@placeholder was late.",
            "entities": ["Bob", "Ann", "Bob"],
            "answers": ["Bob"],
        },
        "query: @placeholder was late. entities: Ann, Bob passage: Ann met Bob. It rained! Bob was late",
        "Bob",
    ),
    "wic": (
        {"sentence1": "A river bank.", "sentence2": "Bank your money.", "word": "bank", "label": False},
        "sentence1: A river bank. sentence2: Bank your money. word: bank",
        "0",
    ),
    "wsc": (
        {
            "text": "Mark told Pete lies about himself, which Pete believed.",
            "span1_index": 0,
            "span1_text": "Mark",
            "span2_index": 5,
            "span2_text": "himself",
            "label": True,
        },
        "text: * Mark * told Pete lies about # himself #, which Pete believed.",
        "1",
    ),
    "superglue-rte": (
        {"premise": "Oil prices fell.", "hypothesis": "Oil got cheaper.", "label": "entailment"},
        "premise: Oil prices fell. hypothesis: Oil got cheaper.",
        "0",
    ),
    "axb": (
        {"sentence1": "The cat sat.", "sentence2": "The cat did not sit.", "label": "not_entailment"},
        "sentence1: The cat sat. sentence2: The cat did not sit.",
        "1",
    ),
    "axg": (
        {"premise": "The nurse said she would come.", "hypothesis": "The nurse would come.", "label": "entailment"},
        "premise: The nurse said she would come. hypothesis: The nurse would come.",
        "0",
    ),
}


def options(**given: Any) -> DataOptions:
    return DataOptions(model_name="", **given)


@pytest.mark.parametrize("name", TASKS)
def test_text_pair(name: str) -> None:
    raw, source, target = PAIRS[name]
    task = TASKS[name]
    row = task.row(raw, 7)
    assert row.idx == 7
    assert task.source(row) == source
    assert task.source(row, add_task_name=True) == f"{name} {source}"
    assert task.targets(row) == [target]
    assert task.targets(replace(row, label=None)) == []


@pytest.mark.parametrize("name", TASKS)
def test_hub_and_files_give_the_same_rows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in the layout of the hub's repository stands in for the hub."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    benchmark, task = BENCHMARKS[name], TASKS[name]
    benchmark.write_files(tmp_path / "files")
    benchmark.write_hub(tmp_path / "hub")
    assert task.hub is not None and task.hub.name == benchmark.hub
    assert set(task.files.names) == set(benchmark.layout)
    for split in benchmark.layout:
        found = list(from_files(task, split, tmp_path / "files").rows)
        assert found == list(from_hub(task, task.hub, split, tmp_path / "hub").rows)
        assert len(found) == COUNTS[split.split("_")[0]]
        labeled = not split.startswith("test") or benchmark.labelled_test
        assert all((row.label is not None) == labeled for row in found)
        assert {type(row.idx) for row in found} == {dict if name == "multirc" else int}


def test_hard_texts_arrive_whole(tmp_path: Path) -> None:
    def first_rows(name: str, split: str = "train") -> list[Row]:
        BENCHMARKS[name].write_files(tmp_path)
        return list(from_files(TASKS[name], split, tmp_path).rows)

    assert first_rows("mrpc")[0].columns["sentence1"] == 'He said "no'
    texts = {"sentence1": "", "sentence2": "the first text is empty"}
    assert first_rows("rte")[1] == Row(texts, label="not_entailment", idx=1)
    assert first_rows("copa")[0].columns["premise"] == "It\trained."
    assert [row.label for row in first_rows("stsb")[:4]] == [3.7, 0.0, 3.75, 4.2]
    multirc = first_rows("multirc")
    assert multirc[0].columns["paragraph"] == "Tom ate. He ate soup. 🙂"
    assert [row.group for row in multirc[:3]] == [(0, 0), (0, 0), (0, 1)]
    assert first_rows("record")[2].label == ["Ann", "Bob"]
    assert [row.columns["text"] for row in first_rows("wsc")[:3]] == [
        "The * C++ (old [x]* book * fell since # it # was big.",
        "* Mark * told Pete's  friend that # he # lied.",
        "When they met, * Ann\nLee * saw # her #.",
    ]
    assert [row.group for row in first_rows("axg", "test")] == [0, 0, 1, 1, 2]


def test_unknown_task() -> None:
    with pytest.raises(UserError, match=r"unknown task 'mprc'.*expected one of cola, sst2.*did you mean 'mrpc'"):
        find_task(options(task="mprc"))


def test_options_of_ones_own_task_are_refused_elsewhere() -> None:
    with pytest.raises(UserError, match=r"data.source is an option of task text2text and not of rte"):
        find_task(options(task="rte", source="{sentence1}"))


def test_diagnostics_take_the_form_of_the_task_that_was_trained() -> None:
    row = Row({"sentence1": "A.", "sentence2": "B."}, label=None, idx=0)
    assert find_task(options(task="axb")).source(row, add_task_name=True) == "axb sentence1: A. sentence2: B."
    as_superglue = find_task(options(task="axb", trained_on="superglue-rte"))
    assert as_superglue.source(row, add_task_name=True) == "superglue-rte premise: A. hypothesis: B."
    assert find_task(options(task="rte", trained_on="cola")) is TASKS["rte"]
    with pytest.raises(
        UserError, match="the model was trained on cola; axb is for models trained on rte or superglue-"
    ):
        find_task(options(task="axb", trained_on="cola"))
