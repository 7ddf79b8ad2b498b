"""The tasks of GLUE (Wang et al., 2018)."""

from typing import Any

from lit_compacter.data.sources import HubConfiguration, tsv
from lit_compacter.tasks.answers import Labels, Number
from lit_compacter.tasks.splits import holdout_from_train, mnli_matched, mnli_mismatched, only_test
from lit_compacter.tasks.task import Task
from lit_compacter.tasks.templates import fields

BINARY = Labels(("0", "1"))
ENTAILMENT = Labels(("entailment", "not_entailment"))
NLI = Labels(("entailment", "neutral", "contradiction"))
SENTENCES = fields("sentence1", "sentence2")


def _glue(name: str, folder: str, **task: Any) -> Task:
    """A task of one test set, whose predictions go to the leaderboard as `<folder>.tsv`."""
    defaults: dict[str, Any] = {
        "hub": HubConfiguration("nyu-mll/glue", name),
        "idx": "idx",
        "files": tsv(folder),
        "leaderboard": {"test": f"{folder}.tsv"},
    }
    return Task(name, **defaults | task)


GLUE_TASKS = (
    _glue(
        "cola",
        "CoLA",
        files=tsv("CoLA", header=dict.fromkeys(("train", "validation"), ("source", "label", "star", "sentence"))),
        template=fields("sentence"),
        answer=BINARY,
        metrics=("matthews",),
    ),
    _glue(
        "sst2",
        "SST-2",
        template=fields("sentence"),
        answer=BINARY,
        metrics=("accuracy",),
        split=holdout_from_train,
    ),
    _glue(
        "mrpc",
        "MRPC",
        hub=HubConfiguration("nyu-mll/glue", "mrpc", unlabeled=("test",)),
        idx=None,  # the hub's numbers are those of the undivided corpus
        files=tsv("MRPC", rename={"#1 String": "sentence1", "#2 String": "sentence2", "Quality": "label"}),
        template=SENTENCES,
        answer=BINARY,
        metrics=("accuracy", "f1"),
    ),
    _glue(
        "qqp",
        "QQP",
        files=tsv("QQP", rename={"is_duplicate": "label"}, drop_short=True),
        template=fields("question1", "question2"),
        answer=BINARY,
        metrics=("accuracy", "f1"),
        split=holdout_from_train,
    ),
    _glue(
        "stsb",
        "STS-B",
        files=tsv("STS-B", rename={"score": "label"}),
        template=SENTENCES,
        answer=Number(steps=5, invalid=-1.0),
        metrics=("pearson", "spearman"),
    ),
    _glue(
        "mnli",
        "MNLI",
        files=tsv(
            "MNLI",
            {"train": "train.tsv"}
            | {f"validation_{kind}": f"dev_{kind}.tsv" for kind in ("matched", "mismatched")}
            | {f"test_{kind}": f"test_{kind}.tsv" for kind in ("matched", "mismatched")},
            rename={"sentence1": "premise", "sentence2": "hypothesis", "gold_label": "label"},
        ),
        template=fields("premise", "hypothesis"),
        answer=NLI,
        metrics=("accuracy",),
        split=mnli_mismatched,
        official_split=mnli_matched,
        leaderboard={"test_matched": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
    ),
    _glue(
        "qnli",
        "QNLI",
        template=fields("question", "sentence"),
        answer=ENTAILMENT,
        metrics=("accuracy",),
        split=holdout_from_train,
    ),
    _glue(
        "rte",
        "RTE",
        template=SENTENCES,
        answer=ENTAILMENT,
        metrics=("accuracy",),
    ),
    _glue(
        "wnli",
        "WNLI",
        template=SENTENCES,
        answer=BINARY,
        metrics=("accuracy",),
    ),
    _glue(
        "ax",
        "AX",
        files=tsv(
            "diagnostic",
            {"test": "diagnostic.tsv"},
            rename={"sentence1": "premise", "sentence2": "hypothesis"},
        ),
        template=fields("premise", "hypothesis"),
        answer=NLI,
        metrics=("matthews",),
        split=only_test,
        official_split=only_test,
        trained_on=("mnli",),
    ),
)
