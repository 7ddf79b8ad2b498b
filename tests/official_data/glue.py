"""GLUE, tiny."""

from tests.official_data.base import ENTAILMENT, Benchmark, Row, pairs

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


def _mrpc_on_the_hub(split: str, rows: list[Row]) -> list[Row]:
    """With numbers of the undivided corpus, and labels in the test set."""
    labels = {"label": 1} if split == "test" else {}
    return [row | {"idx": 10 * row["idx"] + 9} | labels for row in rows]


GLUE = {
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
        unlabeled={"index": "idx", "sentence": "sentence"},
    ),
    "sst2": Benchmark(
        "sst2",
        ({"sentence": "a fine film ", "label": 1}, {"sentence": 'dull " 🙂', "label": 0}),
        ("negative", "positive"),
        "SST-2",
        columns={"sentence": "sentence", "label": "number"},
        unlabeled={"index": "idx", "sentence": "sentence"},
    ),
    "mrpc": Benchmark(
        "mrpc",
        pairs("sentence1", "sentence2"),
        ("not_equivalent", "equivalent"),
        "MRPC",
        columns={"Quality": "number"} | MRPC,
        unlabeled={"index": "idx"} | MRPC,
        hub_rows=_mrpc_on_the_hub,
    ),
    "qqp": Benchmark(
        "qqp",
        pairs("question1", "question2"),
        ("not_duplicate", "duplicate"),
        "QQP",
        columns={"id": "x", "qid1": "x", "qid2": "x", "question1": "question1", "question2": "question2"}
        | {"is_duplicate": "number"},
        unlabeled={"id": "idx", "question1": "question1", "question2": "question2"},
    ),
    "stsb": Benchmark(
        "stsb",
        pairs("sentence1", "sentence2", labels=(3.7, 0.0, 3.75, 4.2)),
        None,
        "STS-B",
        columns={"index": "idx"} | STSB | {"score": "label"},
        unlabeled={"index": "idx"} | STSB,
    ),
    "mnli": Benchmark(
        "mnli",
        pairs("premise", "hypothesis", labels=(0, 1, 2)),
        NLI,
        "MNLI",
        columns=MNLI | {"label1": "x", "gold_label": "label"},
        unlabeled=MNLI,
        files=MNLI_FILES,
    ),
    "qnli": Benchmark(
        "qnli",
        pairs("question", "sentence"),
        ENTAILMENT,
        "QNLI",
        columns={"index": "idx", "question": "question", "sentence": "sentence", "label": "label"},
        unlabeled={"index": "idx", "question": "question", "sentence": "sentence"},
    ),
    "rte": Benchmark(
        "rte",
        pairs("sentence1", "sentence2"),
        ENTAILMENT,
        "RTE",
        columns=INDEXED | {"label": "label"},
        unlabeled=INDEXED,
    ),
    "wnli": Benchmark(
        "wnli",
        pairs("sentence1", "sentence2"),
        ENTAILMENT[::-1],
        "WNLI",
        columns=INDEXED | {"label": "number"},
        unlabeled=INDEXED,
    ),
    "ax": Benchmark(
        "ax",
        pairs("premise", "hypothesis"),
        NLI,
        "diagnostic",
        columns={"index": "idx", "sentence1": "premise", "sentence2": "hypothesis"},
        files={"test": "diagnostic.tsv"},
    ),
}
