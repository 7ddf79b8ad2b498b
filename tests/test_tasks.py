"""Each task's text pair, literally."""

import pytest

from lit_compacter.errors import UserError
from lit_compacter.metrics import METRICS
from lit_compacter.tasks import TASKS, find_task

PAIRS = {
    "rte": (
        {"sentence1": "No weapons were found.", "sentence2": "Weapons were found.", "label": 1},
        "sentence1: No weapons were found. sentence2: Weapons were found.",
        "1",
    ),
    "mrpc": (
        {"sentence1": "He said so.", "sentence2": "So he said.", "label": 1},
        "sentence1: He said so. sentence2: So he said.",
        "1",
    ),
    "cola": ({"sentence": "The book was by John written.", "label": 0}, "sentence: The book was by John written.", "0"),
    "sst2": ({"sentence": "a gorgeous film", "label": 1}, "sentence: a gorgeous film", "1"),
    "qqp": (
        {"question1": "How old is it?", "question2": "What is its age?", "label": 1},
        "question1: How old is it? question2: What is its age?",
        "1",
    ),
    "qnli": (
        {"question": "When did it open?", "sentence": "It opened in 1902.", "label": 0},
        "question: When did it open? sentence: It opened in 1902.",
        "0",
    ),
    "wnli": (
        {"sentence1": "The cup fell off the table as it shook.", "sentence2": "The cup shook.", "label": 0},
        "sentence1: The cup fell off the table as it shook. sentence2: The cup shook.",
        "0",
    ),
    "boolq": (
        {"question": "is tea a drink", "passage": "Tea -- Tea is a drink.", "label": 1},
        "question: is tea a drink passage: Tea -- Tea is a drink.",
        "1",
    ),
    "cb": (
        {"premise": "She did not think so.", "hypothesis": "It was so.", "label": 2},
        "premise: She did not think so. hypothesis: It was so.",
        "2",
    ),
    "copa": (
        {"premise": "It rained.", "question": "effect", "choice1": "I got wet.", "choice2": "I ate.", "label": 0},
        "premise: It rained. question: effect choice1: I got wet. choice2: I ate.",
        "0",
    ),
    "wic": (
        {"sentence1": "A river bank.", "sentence2": "Bank your money.", "word": "bank", "label": 0},
        "sentence1: A river bank. sentence2: Bank your money. word: bank",
        "0",
    ),
    "superglue-rte": (
        {"premise": "Oil prices fell.", "hypothesis": "Oil got cheaper.", "label": 0},
        "premise: Oil prices fell. hypothesis: Oil got cheaper.",
        "0",
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_text_pair(name: str) -> None:
    row, source, target = PAIRS[name]
    task = TASKS[name]
    assert task.source(row) == source
    assert task.source(row, add_task_name=True) == f"{name} {source}"
    assert task.target(row) == target
    assert task.target(row | {"label": -1}) == ""
    assert set(task.metrics) <= METRICS.keys()


def test_unknown_task() -> None:
    with pytest.raises(UserError, match=r"unknown task 'mprc'.*expected one of cola, sst2.*did you mean 'mrpc'"):
        find_task("mprc")
