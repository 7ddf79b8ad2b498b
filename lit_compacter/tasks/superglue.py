"""The tasks of SuperGLUE (Wang et al., 2019)."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any

from lit_compacter.data.readers import RawRow
from lit_compacter.data.sources import HubConfiguration, Row, jsonl
from lit_compacter.tasks.answers import Labels, Text
from lit_compacter.tasks.glue import ENTAILMENT, SENTENCES
from lit_compacter.tasks.splits import holdout_from_train, only_test
from lit_compacter.tasks.task import INDEX, TEXT, TEXTS, Task
from lit_compacter.tasks.templates import fields

BOOLEAN = Labels(("false", "true"))
ZERO_ONE = Labels(("0", "1"), submission_values=(0, 1))


def _superglue(name: str, folder: str, **task: Any) -> Task:
    """A task whose predictions go to the leaderboard as `<folder>.jsonl`."""
    defaults: dict[str, Any] = {
        "hub": HubConfiguration("aps/super_glue", name),
        "idx": "idx",
        "files": jsonl(folder),
        "leaderboard": {"test": f"{folder}.jsonl"},
    }
    return Task(name, **defaults | task)


def _diagnostic(name: str, folder: str, **task: Any) -> Task:
    """A labeled test set for models trained on RTE."""
    files = jsonl(folder, {"test": f"{folder}.jsonl"})
    options: dict[str, Any] = {"split": only_test, "official_split": only_test, "trained_on": ("rte", "superglue-rte")}
    return _superglue(name, folder, files=files, answer=ENTAILMENT, **options, **task)


# MultiRC: each answer to a question about a paragraph is judged separately


def multirc_rows(official: RawRow) -> Iterator[RawRow]:
    """One row per answer of a paragraph's questions."""
    for question in official["passage"]["questions"]:
        for answer in question["answers"]:
            yield {
                "paragraph": official["passage"]["text"],
                "question": question["question"],
                "answer": answer["text"],
                "idx": {"paragraph": official["idx"], "question": question["idx"], "answer": answer["idx"]},
            } | ({"label": answer["label"]} if "label" in answer else {})


def prepare_multirc(row: Row) -> Row:
    """Strip markup; group the answers to one question, if the row has the question's number."""
    texts = {name: without_markup(text) for name, text in row.columns.items()}
    group = (row.idx["paragraph"], row.idx["question"]) if isinstance(row.idx, dict) else None
    return replace(row, columns=texts, group=group)


@lru_cache(maxsize=64)  # a paragraph is repeated for each of its answers
def without_markup(text: str) -> str:
    """Replace line breaks by spaces and remove bold tags."""
    return text.replace("<br>", " ").replace("<b>", "").replace("</b>", "")


# ReCoRD: which entity of the passage replaces the query's @placeholder?


def record_rows(official: RawRow) -> Iterator[RawRow]:
    """One row per query about a passage."""
    passage = official["passage"]
    entities = [passage["text"][entity["start"] : entity["end"] + 1] for entity in passage["entities"]]
    for query in official["qas"]:
        yield {
            "passage": passage["text"],
            "query": query["query"],
            "entities": entities,
            "answers": [answer["text"] for answer in query.get("answers", ())],
            "idx": {"passage": official["idx"], "query": query["idx"]},
        }


def prepare_record(row: Row) -> Row:
    """Keep each entity and answer once, in alphabetical order; append the highlights to the passage."""
    texts = {
        "entities": ", ".join(sorted(set(row.columns["entities"]))),
        "passage": without_highlights(row.columns["passage"]),
    }
    return replace(
        row,
        columns={**row.columns, **texts},
        label=row.label and sorted(set(row.label)),
        idx=row.idx["query"] if isinstance(row.idx, dict) else row.idx,
    )


def without_highlights(passage: str) -> str:
    """Append the highlights as sentences, as in T5. Add a period before each if there is none."""
    passage = re.sub(r"""([.?!"'])\n@highlight\n""", r"\1 ", passage)
    return passage.replace("\n@highlight\n", ". ")


# WSC: does the pronoun (the second span) mean the noun (the first)?


def prepare_wsc(row: Row) -> Row:
    """Mark the first span with `*` and the second with `#`, as in T5."""
    given = row.columns
    spans = [(int(given[f"span{i}_index"]), given[f"span{i}_text"], mark) for i, mark in ((1, "*"), (2, "#"))]
    text = given["text"]
    for index, span, mark in sorted(spans, reverse=True):  # from the end, so that the first index stays valid
        text = marked(text, index, span, mark)
    return replace(row, columns={"text": text})


def marked(text: str, index: int, span: str, mark: str) -> str:
    """Put `mark` on both sides of the span that begins with word `index` (from 0).

    Case, white space and a final period are ignored, because the spans in the official files differ from the text in
    these. If a span is still not found at its index, the same number of words is marked.
    """
    words = list(islice(re.finditer(r"\S+", text), index, index + max(1, len(span.split()))))
    if not words:
        raise ValueError(f"the text has no word {index}, where its span {span!r} should begin")
    start = words[0].start()
    whole = span.strip().rstrip(".")
    here = text[start : start + len(whole)]
    end = start + len(whole) if _plain(here) == _plain(whole) else words[-1].end()
    return f"{text[:start]}{mark} {text[start:end]} {mark}{text[end:]}"


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


# Winogender: pairs of sentences that differ in a pronoun's gender


def prepare_axg(row: Row) -> Row:
    """Group consecutive rows as pairs, because the hub does not number them."""
    return replace(row, group=row.idx // 2)


SUPERGLUE_TASKS = (
    _superglue(
        "boolq",
        "BoolQ",
        template=fields("question", "passage"),
        answer=BOOLEAN,
        metrics=("accuracy",),
    ),
    _superglue(
        "cb",
        "CB",
        template=fields("premise", "hypothesis"),
        answer=Labels(("entailment", "contradiction", "neutral")),
        metrics=("accuracy", "macro_f1"),
    ),
    _superglue(
        "copa",
        "COPA",
        # The paper's code omits whether cause or effect is asked for; without it the task cannot be solved.
        template=fields("premise", "question", "choice1", "choice2"),
        answer=ZERO_ONE,
        metrics=("accuracy",),
    ),
    _superglue(
        "multirc",
        "MultiRC",
        files=jsonl("MultiRC", unfold=multirc_rows),
        prepare=prepare_multirc,
        template=fields("question", "answer", "paragraph"),
        answer=ZERO_ONE,
        metrics=("f1", "exact_match"),
    ),
    _superglue(
        "record",
        "ReCoRD",
        files=jsonl("ReCoRD", unfold=record_rows),
        columns={"query": TEXT, "entities": TEXTS, "passage": TEXT},
        label="answers",
        prepare=prepare_record,
        template=fields("query", "entities", "passage"),
        answer=Text(),
        metrics=("squad_f1", "squad_em"),
        split=holdout_from_train,
    ),
    _superglue(
        "superglue-rte",
        "RTE",
        hub=HubConfiguration("aps/super_glue", "rte"),
        template=fields("premise", "hypothesis"),
        answer=ENTAILMENT,
        metrics=("accuracy",),
    ),
    _superglue(
        "wic",
        "WiC",
        template=fields("sentence1", "sentence2", "word"),
        answer=BOOLEAN,
        metrics=("accuracy",),
    ),
    _superglue(
        "wsc",
        "WSC",
        files=jsonl("WSC", unfold=lambda official: [official | official["target"]]),
        columns={"text": TEXT, "span1_index": INDEX, "span1_text": TEXT, "span2_index": INDEX, "span2_text": TEXT},
        prepare=prepare_wsc,
        template=fields("text"),
        answer=Labels(("false", "true"), submission_values=("False", "True")),
        metrics=("accuracy",),
    ),
    _diagnostic("axb", "AX-b", template=SENTENCES, metrics=("matthews",)),
    _diagnostic(
        "axg",
        "AX-g",
        template=fields("premise", "hypothesis"),
        prepare=prepare_axg,
        metrics=("gender_parity", "accuracy"),
    ),
)
