"""A tiny GLUE and SuperGLUE, written once as the hub has them and once in the official archives' layout.

The rows are hard cases: bare quotes, a byte-order mark, an empty text, an emoji, a tab inside JSON, characters that
mean something in a regular expression, markup, highlights, spans that differ from their text, a label of −1.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, Features, List, Value

Row = dict[str, Any]
COUNTS = {"train": 12, "validation": 6, "test": 5}


@dataclass(frozen=True)
class Benchmark:
    """One task.

    Attributes:
        hub: Configuration on the hub.
        rows: Labelled rows as the hub has them, without idx; each split repeats them.
        names: Label names on the hub; None where labels are no classes.
        folder: Of the archive.
        columns: Official column → the hub's, of a labelled .tsv file; None for JSON.
        unlabelled: The same of the test set.
        official: A split's rows → the objects of a .jsonl file.
        files: Official split → file name.
        labelled_test: The test set has labels.
    """

    hub: str
    rows: tuple[Row, ...]
    names: tuple[str, ...] | None
    folder: str
    columns: dict[str, str] | None = None
    unlabelled: dict[str, str] | None = None
    official: Callable[[list[Row]], list[Row]] = list
    files: dict[str, str] | None = None
    labelled_test: bool = False

    def split(self, name: str) -> list[Row]:
        """The hub's rows of a split."""
        kind = name.split("_")[0]
        rows = [
            row | ({} if "idx" in row else {"idx": i}) for i, row in enumerate(islice(cycle(self.rows), COUNTS[kind]))
        ]
        if kind == "test" and not self.labelled_test:
            unknown: Row = {"answers": []} if "answers" in rows[0] else {"label": -1 if self.names else -1.0}
            rows = [row | unknown for row in rows]
        return rows

    @property
    def layout(self) -> dict[str, str]:
        """Official split → path of its file in the archive."""
        tsv = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
        jsonl = {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}
        return {
            split: f"{self.folder}/{name}" for split, name in (self.files or (tsv if self.columns else jsonl)).items()
        }

    def write_files(self, folder: Path) -> None:
        """The official files."""
        for split, name in self.layout.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = self.split(split)
            if self.columns is None:
                path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.official(rows)))
                continue
            columns = self.unlabelled if split.startswith("test") and self.unlabelled else self.columns
            words = dict(enumerate(self.names or ()))
            lines = ["\t".join(columns)] * (self.folder != "CoLA" or split == "test")
            for row in rows:
                row = row | {"number": row["label"], "label": words.get(row["label"], row["label"])}
                lines.append("\t".join(str(row.get(name, "x")) for name in columns.values()))
            path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig" if self.folder == "MRPC" else "utf-8")

    def write_hub(self, folder: Path) -> None:
        """A folder in the layout of the hub's repository, of this one configuration."""
        (folder / self.hub).mkdir(parents=True)
        for split in self.layout:
            rows = self.split(split)
            features = Features({name: _feature(value) for name, value in rows[0].items()})
            if self.names:
                features["label"] = ClassLabel(names=list(self.names))
            Dataset.from_list(rows, features=features).to_parquet(folder / self.hub / f"{split}-0.parquet")
        config = {
            "config_name": self.hub,
            "data_files": [{"split": split, "path": f"{self.hub}/{split}-*"} for split in self.layout],
        }
        (folder / "README.md").write_text(f"---\nconfigs: {json.dumps([config])}\n---\n")


def _feature(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _feature(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return List(Value("string"))
    return Value({str: "string", int: "int32", float: "float32"}[type(value)])


def pairs(first: str, second: str, labels: tuple[Any, ...] = (0, 1), **more: str) -> tuple[Row, ...]:
    """Rows of two texts, hard ones."""
    texts = (
        ('He said "no', "Über 🙂 cafés"),
        ("", "the first text is empty"),
        ("'quoted'", 'a "bare quote'),
        ("plain words in a row", "1.5 % of C:\\n is {braces} <b>"),
    )
    return tuple({first: a, second: b, "label": labels[i % len(labels)]} | more for i, (a, b) in enumerate(texts))


BINARY, ENTAILMENT, BOOLEAN = ("0", "1"), ("entailment", "not_entailment"), ("False", "True")
NLI = ("entailment", "neutral", "contradiction")
SENTENCES = {"sentence1": "sentence1", "sentence2": "sentence2"}
INDEXED = {"index": "idx"} | SENTENCES
MRPC = {"#1 ID": "id", "#2 ID": "id", "#1 String": "sentence1", "#2 String": "sentence2"}
STSB = dict.fromkeys("genre filename year old_index source1 source2".split(), "x") | SENTENCES
PARSES = dict.fromkeys("promptID pairID genre sentence1_binary_parse sentence2_parse".split(), "x")
MNLI = {"index": "idx"} | PARSES | {"sentence1": "premise", "sentence2": "hypothesis"}
MNLI_FILES = {"train": "train.tsv"} | {
    f"{split}_{kind}": f"{name}_{kind}.tsv"
    for split, name in (("validation", "dev"), ("test", "test"))
    for kind in ("matched", "mismatched")
}


def spelt(*words: Any) -> Callable[[list[Row]], list[Row]]:
    """JSON rows whose labels are spelt as the archive does; a label of −1 stays."""
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


BENCHMARKS = {
    "cola": Benchmark(
        "cola",
        (
            {"sentence": 'They drank "the pub.', "label": 0},
            {"sentence": "🙂 ran.", "label": 1},
            {"sentence": "", "label": 1},
        ),
        ("unacceptable", "acceptable"),
        "CoLA",
        columns={"source": "x", "label": "number", "star": "x", "sentence": "sentence"},
        unlabelled={"index": "idx", "sentence": "sentence"},
    ),
    "sst2": Benchmark(
        "sst2",
        ({"sentence": "a fine film ", "label": 1}, {"sentence": 'dull " 🙂', "label": 0}),
        ("negative", "positive"),
        "SST-2",
        columns={"sentence": "sentence", "label": "number"},
        unlabelled={"index": "idx", "sentence": "sentence"},
    ),
    "mrpc": Benchmark(
        "mrpc",
        pairs("sentence1", "sentence2"),
        ("not_equivalent", "equivalent"),
        "MRPC",
        columns={"Quality": "number"} | MRPC,
        unlabelled={"index": "idx"} | MRPC,
    ),
    "qqp": Benchmark(
        "qqp",
        pairs("question1", "question2"),
        ("not_duplicate", "duplicate"),
        "QQP",
        columns={"id": "x", "qid1": "x", "qid2": "x", "question1": "question1", "question2": "question2"}
        | {"is_duplicate": "number"},
        unlabelled={"id": "idx", "question1": "question1", "question2": "question2"},
    ),
    "stsb": Benchmark(
        "stsb",
        pairs("sentence1", "sentence2", labels=(5.0, 0.0, 3.75, 2.5)),
        None,
        "STS-B",
        columns={"index": "idx"} | STSB | {"score": "label"},
        unlabelled={"index": "idx"} | STSB,
    ),
    "mnli": Benchmark(
        "mnli",
        pairs("premise", "hypothesis", labels=(0, 1, 2)),
        NLI,
        "MNLI",
        columns=MNLI | {"label1": "x", "gold_label": "label"},
        unlabelled=MNLI,
        files=MNLI_FILES,
    ),
    "qnli": Benchmark(
        "qnli",
        pairs("question", "sentence"),
        ENTAILMENT,
        "QNLI",
        columns={"index": "idx", "question": "question", "sentence": "sentence", "label": "label"},
        unlabelled={"index": "idx", "question": "question", "sentence": "sentence"},
    ),
    "rte": Benchmark(
        "rte",
        pairs("sentence1", "sentence2"),
        ENTAILMENT,
        "RTE",
        columns=INDEXED | {"label": "label"},
        unlabelled=INDEXED,
    ),
    "wnli": Benchmark(
        "wnli",
        pairs("sentence1", "sentence2"),
        ENTAILMENT[::-1],
        "WNLI",
        columns=INDEXED | {"label": "number"},
        unlabelled=INDEXED,
    ),
    "ax": Benchmark(
        "ax",
        pairs("premise", "hypothesis"),
        NLI,
        "diagnostic",
        columns={"index": "idx", "sentence1": "premise", "sentence2": "hypothesis"},
        files={"test": "diagnostic.tsv"},
    ),
    "boolq": Benchmark("boolq", pairs("question", "passage"), BOOLEAN, "BoolQ", official=spelt(False, True)),
    "cb": Benchmark(
        "cb",
        pairs("premise", "hypothesis", labels=(0, 1, 2)),
        ("entailment", "contradiction", "neutral"),
        "CB",
        official=spelt("entailment", "contradiction", "neutral"),
    ),
    "copa": Benchmark(
        "copa",
        pairs("choice1", "choice2", premise="It\trained.", question="cause"),
        ("choice1", "choice2"),
        "COPA",
        official=spelt(0, 1),
    ),
    "multirc": Benchmark("multirc", multirc_rows(), BOOLEAN, "MultiRC", official=multirc_objects),
    "record": Benchmark("record", RECORD, None, "ReCoRD", official=record_objects),
    "superglue-rte": Benchmark("rte", pairs("premise", "hypothesis"), ENTAILMENT, "RTE", official=spelt(*ENTAILMENT)),
    "wic": Benchmark("wic", pairs("sentence1", "sentence2", word="no"), BOOLEAN, "WiC", official=spelt(False, True)),
    "wsc": Benchmark("wsc", WSC, BOOLEAN, "WSC", official=wsc_objects),
    "axb": Benchmark(
        "axb",
        pairs("sentence1", "sentence2"),
        ENTAILMENT,
        "AX-b",
        official=spelt(*ENTAILMENT),
        files={"test": "AX-b.jsonl"},
        labelled_test=True,
    ),
    "axg": Benchmark(
        "axg",
        pairs("premise", "hypothesis"),
        ENTAILMENT,
        "AX-g",
        official=spelt(*ENTAILMENT),
        files={"test": "AX-g.jsonl"},
        labelled_test=True,
    ),
}
