"""The files that the leaderboards take, as their own examples have them."""

import json
from pathlib import Path
from typing import Any

import pytest

from lit_compacter.datamodule import GlueDataModule
from lit_compacter.results.leaderboard import write_leaderboard
from lit_compacter.tasks import TASKS
from lit_compacter.tasks.predictions import Prediction
from tests.conftest import TINY, shared


def record(idx: Any, text: str, task: str, split: str = "test") -> Prediction:
    prediction = TASKS[task].answer.to_submission(text)
    return {"idx": idx, "split": split, "source": "", "prediction": prediction, "raw_text": text}


def written(folder: Path, task: str, records: list[Prediction], majority_target: str = "0") -> dict[str, str]:
    return {path.name: path.read_text() for path in write_leaderboard(folder, TASKS[task], records, majority_target)}


# Task → texts that the model wrote, and the file.
SIMPLE = {
    "cola": (["0", "1"], "CoLA.tsv", "0\t0\n1\t1\n"),
    "sst2": (["1"], "SST-2.tsv", "0\t1\n"),
    "mrpc": (["1"], "MRPC.tsv", "0\t1\n"),
    "qqp": (["1"], "QQP.tsv", "0\t1\n"),
    "stsb": (["3.8", "5.0"], "STS-B.tsv", "0\t3.800\n1\t5.000\n"),
    "qnli": (["0", "1"], "QNLI.tsv", "0\tentailment\n1\tnot_entailment\n"),
    "rte": (["1", "0"], "RTE.tsv", "0\tnot_entailment\n1\tentailment\n"),
    "wnli": (["1"], "WNLI.tsv", "0\t1\n"),
    "ax": (["0", "1", "2"], "AX.tsv", "0\tentailment\n1\tneutral\n2\tcontradiction\n"),
    "boolq": (["1"], "BoolQ.jsonl", '{"idx": 0, "label": "true"}\n'),
    "cb": (["1", "2"], "CB.jsonl", '{"idx": 0, "label": "contradiction"}\n{"idx": 1, "label": "neutral"}\n'),
    "copa": (["1"], "COPA.jsonl", '{"idx": 0, "label": 1}\n'),
    "record": (["Ann Lee 🙂"], "ReCoRD.jsonl", '{"idx": 0, "label": "Ann Lee 🙂"}\n'),
    "superglue-rte": (["1"], "RTE.jsonl", '{"idx": 0, "label": "not_entailment"}\n'),
    "wic": (["0"], "WiC.jsonl", '{"idx": 0, "label": "false"}\n'),
    "wsc": (["1"], "WSC.jsonl", '{"idx": 0, "label": "True"}\n'),
    "axb": (["0"], "AX-b.jsonl", '{"idx": 0, "label": "entailment"}\n'),
    "axg": (["0"], "AX-g.jsonl", '{"idx": 0, "label": "entailment"}\n'),
}


@pytest.mark.parametrize("task", SIMPLE)
def test_official_form(task: str, tmp_path: Path) -> None:
    texts, name, content = SIMPLE[task]
    header = "index\tprediction\n" if name.endswith(".tsv") else ""
    found = written(tmp_path, task, [record(idx, text, task) for idx, text in enumerate(texts)])
    assert found == {name: header + content}


def test_every_task_is_here() -> None:
    assert SIMPLE.keys() | {"mnli", "multirc"} == TASKS.keys()


def test_mnli_has_two_files(tmp_path: Path) -> None:
    records = [record(0, "2", "mnli", "test_matched"), record(0, "1", "mnli", "test_mismatched")]
    assert written(tmp_path, "mnli", records) == {
        "MNLI-m.tsv": "index\tprediction\n0\tcontradiction\n",
        "MNLI-mm.tsv": "index\tprediction\n0\tneutral\n",
    }


def test_multirc_is_nested(tmp_path: Path) -> None:
    places = [(0, 0, 0), (0, 0, 1), (0, 1, 2), (1, 2, 3)]
    records = [
        record(dict(zip(("paragraph", "question", "answer"), place, strict=True)), text, "multirc")
        for place, text in zip(places, ["1", "0", "0", "1"], strict=True)
    ]
    assert [json.loads(line) for line in written(tmp_path, "multirc", records)["MultiRC.jsonl"].splitlines()] == [
        {
            "idx": 0,
            "passage": {
                "questions": [
                    {"idx": 0, "answers": [{"idx": 0, "label": 1}, {"idx": 1, "label": 0}]},
                    {"idx": 1, "answers": [{"idx": 2, "label": 0}]},
                ]
            },
        },
        {"idx": 1, "passage": {"questions": [{"idx": 2, "answers": [{"idx": 3, "label": 1}]}]}},
    ]


@pytest.mark.parametrize(
    ("task", "majority_target", "fallback"),
    [
        ("rte", "1", "not_entailment"),
        ("stsb", "3.8", "3.800"),
        ("rte", "Oslo", "entailment"),
        ("stsb", "Oslo", "0.000"),
    ],
)
def test_no_answer_becomes_the_majority_label(task: str, majority_target: str, fallback: str, tmp_path: Path) -> None:
    records = [record(0, "0", task), record(1, "no", task)]
    with pytest.warns(UserWarning, match="1 of 2 outputs are not an answer: the leaderboard's file has"):
        (content,) = written(tmp_path, task, records, majority_target).values()
    assert content.splitlines()[2] == f"1\t{fallback}"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    for _ in range(2):
        written(tmp_path, "cola", [record(0, "1", "cola")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CoLA-2.tsv", "CoLA.tsv"]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["rte", "mrpc", "cola", "superglue-rte", "cb", "copa", "boolq", "multirc"])
def test_real_test_sets_come_out_in_official_order(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of the official test file, line by line."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data_dir = shared("data", "glue" if task in ("rte", "mrpc", "cola") else "superglue")
    data = GlueDataModule(task=task, model_name=str(TINY), data_dir=str(data_dir), max_source_length=8)
    data.setup("predict")
    records = [record(idx, "0", task) for idx in data.data["predict"]["idx"]]
    (content,) = written(tmp_path, task, records).values()
    path = data_dir / data.task.files.folder / str(data.task.files.names["test"])
    lines, official = content.splitlines(), path.read_text("utf-8-sig").splitlines()
    if task in ("rte", "mrpc", "cola"):
        assert [line.split("\t")[0] for line in lines] == [line.split("\t")[0] for line in official]
        return
    assert [skeleton(json.loads(line)) for line in lines] == [skeleton(json.loads(line)) for line in official]


def skeleton(line: dict[str, Any]) -> Any:
    """Everything by which a line is known: its idx and those of what is nested in it."""
    if not isinstance(line.get("passage"), dict):
        return line["idx"]
    questions = line["passage"]["questions"]
    return line["idx"], [(question["idx"], [answer["idx"] for answer in question["answers"]]) for question in questions]
