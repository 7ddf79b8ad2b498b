"""Metrics agree with scikit-learn, scipy and the benchmarks' definitions, and say what an invalid output is worth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from lit_compacter.answers import Answer, Labels, Number, Text
from lit_compacter.errors import UserError
from lit_compacter.metrics import AnswerMetrics, check_metrics

BINARY = Labels(("no", "yes"))
Targets = Sequence[str | Sequence[str]]


def scores(
    answer: Answer,
    names: Sequence[str],
    predictions: Sequence[str],
    targets: Targets,
    groups: Sequence[int] | None = None,
    batch: int = 7,
) -> dict[str, float]:
    metrics = AnswerMetrics(answer, names)
    groups = range(len(targets)) if groups is None else groups
    for start in range(0, len(targets), batch):
        part = slice(start, start + batch)
        every = [[target] if isinstance(target, str) else target for target in targets[part]]
        metrics.update(predictions[part], every, list(groups[part]), list(range(len(targets))[part]))
    return {name: value.item() for name, value in metrics.compute().items()}


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets, predictions = (rng.integers(0, 2, 200).astype(str).tolist() for _ in range(2))
    found = scores(BINARY, ("accuracy", "f1", "matthews", "exact_match"), predictions, targets)
    expected = {
        "accuracy": accuracy_score(targets, predictions),
        "f1": f1_score(targets, predictions, pos_label="1"),
        "matthews": matthews_corrcoef(targets, predictions),
        "exact_match": accuracy_score(targets, predictions),
    }
    assert found == pytest.approx(expected | {"score": np.mean(list(expected.values())), "invalid": 0.0}, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scipy(seed: int) -> None:
    """With ties, as STS-B's fifths have them."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 26, (2, 300)) / 5
    predictions, targets = ([f"{x:.1f}" for x in row] for row in values)
    found = scores(Number(5), ("pearson", "spearman"), predictions, targets)
    assert found["pearson"] == pytest.approx(stats.pearsonr(*values).statistic, abs=1e-6)
    assert found["spearman"] == pytest.approx(stats.spearmanr(*values).statistic, abs=1e-6)
    assert found["score"] == pytest.approx((found["pearson"] + found["spearman"]) / 2)


def test_invalid_labels() -> None:
    targets = ["1", "1", "0", "0", "1"]
    predictions = ["1", "maybe", "0", "", "0"]
    found = scores(BINARY, ("accuracy", "f1", "matthews"), predictions, targets)
    assert found["invalid"] == pytest.approx(2 / 5)
    assert found["accuracy"] == pytest.approx(2 / 5)
    opposite = ["1", "0", "0", "1", "0"]
    assert found["f1"] == pytest.approx(f1_score(targets, opposite, pos_label="1"))
    extra = ["1", "x", "0", "x", "0"]
    assert found["matthews"] == pytest.approx(matthews_corrcoef(targets, extra))


def test_invalid_numbers_are_minus_one() -> None:
    found = scores(Number(5), ("pearson", "spearman"), ["1.0", "high", "3.0", "5.0"], ["1.0", "2.0", "3.0", "4.0"])
    assert found["invalid"] == pytest.approx(1 / 4)
    assert found["pearson"] == pytest.approx(stats.pearsonr([1, -1, 3, 5], [1, 2, 3, 4]).statistic, abs=1e-6)


def test_minus_one_may_be_a_valid_number() -> None:
    assert scores(Number(), ("pearson",), ["-1", "2"], ["-1", "3"])["invalid"] == 0


def test_macro_f1_is_over_the_labels() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 100).astype(str).tolist()
    predictions = rng.choice(["0", "1", "2", "no label"], 100).tolist()
    found = scores(Labels(("a", "b", "c")), ("macro_f1",), predictions, targets)
    expected = f1_score(targets, predictions, labels=["0", "1", "2"], average="macro")
    assert found["macro_f1"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("answer", "name", "predictions", "targets"),
    [
        (BINARY, "matthews", ["1", "1"], ["0", "1"]),
        (Number(), "pearson", ["1", "1"], ["0", "1"]),
        (Number(), "spearman", ["1", "2"], ["3", "3"]),
    ],
)
def test_an_undefined_correlation_is_zero(answer: Answer, name: str, predictions: Any, targets: Any) -> None:
    assert scores(answer, (name,), predictions, targets)[name] == 0


def test_only_invalid_outputs() -> None:
    found = scores(BINARY, ("accuracy", "f1", "matthews"), ["a", "b"], ["0", "1"])
    assert found == {"accuracy": 0, "f1": 0, "matthews": 0, "score": 0, "invalid": 1}


def test_surrounding_space_is_forgiven() -> None:
    assert scores(BINARY, ("accuracy",), [" 1 "], ["1"])["accuracy"] == 1


def test_multirc() -> None:
    """F1 over all answers; exact match per question: of four, by hand, the first and the third are wholly right."""
    groups = [0, 0, 0, 1, 1, 2, 3, 3]
    targets = ["1", "0", "1", "1", "0", "0", "1", "0"]
    predictions = ["1", "0", "1", "1", "1", "0", "?", "0"]
    found = scores(BINARY, ("f1", "exact_match"), predictions, targets, groups, batch=3)
    assert found["exact_match"] == 2 / 4
    assert found["f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))  # 3 hits, 1 false, 1 missed


def test_gender_parity() -> None:
    """Pairs that agree, rightly or not; two invalid outputs do not agree."""
    predictions, targets = ["1", "1", "0", "1", "0", "0", "?", "?"], ["1", "1", "1", "1", "1", "1", "1", "1"]
    found = scores(BINARY, ("gender_parity", "accuracy"), predictions, targets, [0, 0, 1, 1, 2, 2, 3, 3], batch=3)
    assert found["gender_parity"] == 2 / 4 and found["accuracy"] == 3 / 8


RECORD = [  # prediction, answers, F1, exact match: by hand from the official definition
    ("The White House", ["White House", "Oslo"], 1.0, 1),  # articles and case do not count
    ("U.S.", ["US", "United States"], 1.0, 1),  # nor does punctuation
    ("Barack Obama", ["Obama"], 2 / 3, 0),  # precision 1/2, recall 1
    ("Obama Obama", ["Obama", "Barack Hussein Obama"], 2 / 3, 0),  # the best of 2/3 and 2/5; words count once
    ("Oslo", ["Bergen"], 0.0, 0),
    ("", ["Bergen"], 0.0, 0),
]


def test_record() -> None:
    predictions, targets, f1, match = zip(*RECORD, strict=True)
    found = scores(Text(), ("f1", "exact_match"), predictions, targets, batch=4)
    assert found["f1"] == pytest.approx(np.mean(f1), abs=1e-6)
    assert found["exact_match"] == pytest.approx(np.mean(match), abs=1e-6)
    assert found["score"] == pytest.approx((np.mean(f1) + np.mean(match)) / 2, abs=1e-6) and found["invalid"] == 0


def test_rouge() -> None:
    """Longest common subsequence "the cat sat": precision 3/4, recall 3/3, against the better answer."""
    found = scores(Text(), ("rouge",), ["the cat sat down", "x"], [["the cat sat", "a dog"], "y"])
    assert found["rouge"] == pytest.approx((2 * 0.75 / 1.75 + 0) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("answer", "names"), [(BINARY, ("accuracy", "f1", "matthews")), (Text(), ("f1",)), (Number(), ("pearson",))]
)
def test_neither_batch_size_nor_order_matters(answer: Answer, names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    targets, predictions = (rng.integers(0, 2, 50).astype(str).tolist() for _ in range(2))
    order = rng.permutation(50)
    whole = scores(answer, names, predictions, targets, batch=50)
    assert scores(answer, names, predictions, targets, batch=3) == whole
    turned = scores(answer, names, [predictions[i] for i in order], [targets[i] for i in order])
    assert turned == pytest.approx(whole, abs=1e-7)


@pytest.mark.parametrize(
    ("answer", "name", "message"),
    [
        (
            Text(),
            "accuracy",
            "metric 'accuracy' does not fit answers that are text; there are labels: accuracy, f1, macro",
        ),
        (BINARY, "rouge", "does not fit answers that are labels; .*text: exact_match, f1, rouge"),
        (Text(), "rogue", "did you mean 'rouge'"),
        (Labels(("a", "b", "c")), "f1", "metric f1 is for two labels; expected macro_f1 for more"),
    ],
)
def test_a_metric_must_fit_the_answers(answer: Answer, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_metrics(answer, [name])
