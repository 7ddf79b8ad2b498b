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
    with pytest.raises(UserError, match=r"unknown task 'mprc'.*expected one of rte, mrpc.*did you mean 'mrpc'"):
        find_task("mprc")
