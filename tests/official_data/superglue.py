"""SuperGLUE, tiny."""

from collections.abc import Callable
from typing import Any

from tests.official_data.base import BOOLEAN, ENTAILMENT, Benchmark, Row, pairs


def spelled(*words: Any) -> Callable[[list[Row]], list[Row]]:
    """JSON rows whose labels are spelled as the archive does; a label of −1 stays."""
    return lambda rows: [row | {"label": words[row["label"]] if row["label"] >= 0 else -1} for row in rows]


# MultiRC: per paragraph, question → answers with labels.
PASSAGES = (
    (
        "Tom ate.<br>He ate <b>soup</b>. 🙂",
        (("What did Tom eat?", (("soup", 1), ("stew", 0))), ("Who ate?", (("Tom", 1),))),
    ),
    ('She said "go\tnow".', (("What did she say?", (("go", 1), ("", 0), ("stay", 0))),)),
    (
        "A long walk.",
        (("Was it long?", (("yes", 1), ("no", 0))), ("A run?", (("no", 1), ("yes", 0), ("a walk", 1), ("a race", 0)))),
    ),
)


def multirc_rows() -> tuple[Row, ...]:
    """Twelve answers to five questions, numbered through as in the archive."""
    rows: list[Row] = []
    question_idx = 0
    for paragraph, (text, questions) in enumerate(PASSAGES):
        for question, answers in questions:
            for answer, label in answers:
                idx = {"paragraph": paragraph, "question": question_idx, "answer": len(rows)}
                rows.append({"paragraph": text, "question": question, "answer": answer, "idx": idx, "label": label})
            question_idx += 1
    return tuple(rows)


def multirc_objects(rows: list[Row]) -> list[Row]:
    """Nested, as in the archive; test rows have no label at all."""
    objects: dict[int, Row] = {}
    for row in rows:
        idx = row["idx"]
        passage = objects.setdefault(
            idx["paragraph"],
            {"idx": idx["paragraph"], "version": 1.1, "passage": {"text": row["paragraph"], "questions": []}},
        )["passage"]
        if not passage["questions"] or passage["questions"][-1]["idx"] != idx["question"]:
            passage["questions"].append({"question": row["question"], "answers": [], "idx": idx["question"]})
        label = {} if row["label"] < 0 else {"label": row["label"]}
        passage["questions"][-1]["answers"].append({"text": row["answer"], "idx": idx["answer"]} | label)
    return list(objects.values())


NEWS = "Ann met Bob in Oslo\n@highlight\nAnn is Norse.\n@highlight\nBob was late"
RECORD = tuple(
    {
        "passage": NEWS,
        "query": f"It was @placeholder who {what}.",
        "entities": ["Ann", "Bob", "Oslo", "Ann", "Norse", "Bob"],
        "answers": sorted(set(answers)),
        "idx": {"passage": i // 2, "query": i},
    }
    for i, (what, answers) in enumerate(
        [("met Bob", ["Ann", "Ann"]), ("was late", ["Bob"]), ("met", ["Ann", "Bob"])] * 4
    )
)


def record_objects(rows: list[Row]) -> list[Row]:
    """Nested, as in the archive: spans of entities, each mention of an answer, its end inclusive."""
    objects: dict[int, Row] = {}
    for row in rows:
        starts, position = [], 0
        for entity in row["entities"]:
            position = row["passage"].index(entity, position)
            starts.append(position)
            position += 1
        spans = [
            {"start": start, "end": start + len(name) - 1} for start, name in zip(starts, row["entities"], strict=True)
        ]
        passage = {"text": row["passage"], "entities": spans}
        article = {"source": "CNN", "passage": passage, "qas": [], "idx": row["idx"]["passage"]}
        mentions = [{"start": 0, "end": len(text) - 1, "text": text} for text in row["answers"] for _ in range(2)]
        query = {"query": row["query"], "idx": row["idx"]["query"]} | ({"answers": mentions} if mentions else {})
        objects.setdefault(row["idx"]["passage"], article)["qas"].append(query)
    return list(objects.values())


def wsc(text: str, first: tuple[int, str], second: tuple[int, str], label: int) -> Row:
    spans = {"span1_index": first[0], "span1_text": first[1], "span2_index": second[0], "span2_text": second[1]}
    return {"text": text} | spans | {"label": label}


WSC = (
    wsc("The C++ (old [x]* book fell since it was big.", (1, "C++ (old [x]* book"), (7, "it"), 1),
    wsc("Mark told Pete's  friend that he lied.", (0, "mark"), (5, "he"), 0),
    wsc("When they met, Ann\nLee saw her.", (3, "Ann Lee."), (6, "her"), 0),
)


def wsc_objects(rows: list[Row]) -> list[Row]:
    return [
        {"text": row["text"], "target": {k: v for k, v in row.items() if k.startswith("span")}, "idx": row["idx"]}
        | ({} if row["label"] < 0 else {"label": bool(row["label"])})
        for row in rows
    ]


SUPERGLUE = {
    "boolq": Benchmark("boolq", pairs("question", "passage"), BOOLEAN, "BoolQ", official=spelled(False, True)),
    "cb": Benchmark(
        "cb",
        pairs("premise", "hypothesis", labels=(0, 1, 2)),
        ("entailment", "contradiction", "neutral"),
        "CB",
        official=spelled("entailment", "contradiction", "neutral"),
    ),
    "copa": Benchmark(
        "copa",
        pairs("choice1", "choice2", premise="It\trained.", question="cause"),
        ("choice1", "choice2"),
        "COPA",
        official=spelled(0, 1),
    ),
    "multirc": Benchmark("multirc", multirc_rows(), BOOLEAN, "MultiRC", official=multirc_objects),
    "record": Benchmark("record", RECORD, None, "ReCoRD", official=record_objects),
    "superglue-rte": Benchmark("rte", pairs("premise", "hypothesis"), ENTAILMENT, "RTE", official=spelled(*ENTAILMENT)),
    "wic": Benchmark("wic", pairs("sentence1", "sentence2", word="no"), BOOLEAN, "WiC", official=spelled(False, True)),
    "wsc": Benchmark("wsc", WSC, BOOLEAN, "WSC", official=wsc_objects),
    "axb": Benchmark(
        "axb",
        pairs("sentence1", "sentence2"),
        ENTAILMENT,
        "AX-b",
        official=spelled(*ENTAILMENT),
        files={"test": "AX-b.jsonl"},
        labelled_test=True,
    ),
    "axg": Benchmark(
        "axg",
        pairs("premise", "hypothesis"),
        ENTAILMENT,
        "AX-g",
        official=spelled(*ENTAILMENT),
        files={"test": "AX-g.jsonl"},
        labelled_test=True,
    ),
}
