"""Metrics agree with scikit-learn, scipy and the benchmarks' definitions, and say what an invalid output is worth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torchmetrics.functional.text import rouge_score

from lit_compacter.errors import UserError
from lit_compacter.tasks.answer_metrics import AnswerMetrics
from lit_compacter.tasks.answers import Answer, Labels, Number, Text
from lit_compacter.tasks.glue import GLUE_TASKS
from lit_compacter.tasks.metrics import METRICS, Values, check_metrics
from lit_compacter.tasks.text_metrics import rouge, word_f1

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


def test_invalid_numbers_are_minus_one_in_stsb() -> None:
    (stsb,) = (task.answer for task in GLUE_TASKS if task.name == "stsb")
    found = scores(stsb, ("pearson", "spearman"), ["1.0", "high", "3.0", "5.0"], ["1.0", "2.0", "3.0", "4.0"])
    assert found["invalid"] == pytest.approx(1 / 4)
    assert found["pearson"] == pytest.approx(stats.pearsonr([1, -1, 3, 5], [1, 2, 3, 4]).statistic, abs=1e-6)
    assert found["spearman"] == pytest.approx(stats.spearmanr([1, -1, 3, 5], [1, 2, 3, 4]).statistic, abs=1e-6)


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (10, -5), (1e6, 3e6), (1e-9, 0), (-2, 1)])
def test_an_invalid_number_is_the_mean_of_the_others(scale: float, offset: float) -> None:
    """It lowers the correlation alike whatever the range of the numbers, −1 among them."""
    predictions, targets = [1.0, 2.5, None, 4.0, None, 0.5], [1.0, 2.0, 3.0, 4.0, 5.0, 0.0]
    texts = ["none" if p is None else f"{scale * p + offset:.15g}" for p in predictions]
    found = scores(Number(), ("pearson", "spearman"), texts, [f"{scale * t + offset:.15g}" for t in targets])
    assert found["invalid"] == pytest.approx(2 / 6)
    filled = [2.0 if p is None else p for p in predictions]
    ranked = [2.5 if p is None else r for p, r in zip(predictions, [2, 3, 0, 4, 0, 1], strict=True)]
    assert found["pearson"] == pytest.approx(stats.pearsonr(filled, targets).statistic, abs=1e-6)
    assert found["spearman"] == pytest.approx(stats.pearsonr(ranked, targets).statistic, abs=1e-6)


def test_minus_one_may_be_a_valid_number() -> None:
    found = scores(Number(), ("pearson", "spearman"), ["-1", "2", "0"], ["-1", "2", "0"])
    assert found == pytest.approx({"pearson": 1, "spearman": 1, "score": 1, "invalid": 0})


@pytest.mark.parametrize("valid", [[], ["0.1"], ["0.1"] * 7, ["0.1", "0.10"]])
def test_numbers_that_do_not_vary_correlate_with_nothing(valid: list[str]) -> None:
    predictions = [*valid, "x", "y", "z"]
    targets = [str(i) for i in range(len(predictions))]
    assert scores(Number(), ("pearson", "spearman"), predictions, targets)["score"] == 0


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-4, 1e6), (1e-9, 0), (1e-3, -4e9), (-3, 7)])
def test_correlations_at_every_scale(scale: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    x = scale * rng.normal(size=100) + offset
    y = x + scale * rng.normal(size=100)
    predictions, targets = ([f"{value:.15g}" for value in side] for side in (x, y))
    x, y = (np.array([float(text) for text in side]) for side in (predictions, targets))
    found = scores(Number(), ("pearson", "spearman"), predictions, targets)
    assert found["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-6)
    assert found["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-6)


def test_many_rows_of_rare_labels() -> None:
    """Where counts in float32 are off in the sixth digit."""
    rng = np.random.default_rng(0)
    true = rng.choice(3, 300_000, p=[0.98, 0.015, 0.005])
    predicted = np.where(rng.random(true.size) < 0.97, true, rng.integers(-1, 3, true.size))  # −1: invalid
    nothing = torch.zeros(true.size, dtype=torch.long)
    values = Values(torch.from_numpy(predicted), torch.from_numpy(true), nothing, classes=3)
    assert METRICS["labels"]["matthews"](values).item() == pytest.approx(matthews_corrcoef(true, predicted), abs=1e-9)
    expected = f1_score(true, predicted, labels=[0, 1, 2], average="macro")
    assert METRICS["labels"]["macro_f1"](values).item() == pytest.approx(expected, abs=1e-6)


def test_f1_is_that_of_the_second_label() -> None:
    predictions, targets = ["spam", "ham", "spam", "spam"], ["spam", "ham", "ham", "spam"]
    for labels in (("ham", "spam"), ("spam", "ham")):
        found = scores(Labels(labels, targets=labels), ("f1",), predictions, targets)
        assert found["f1"] == pytest.approx(f1_score(targets, predictions, pos_label=labels[1]))


@pytest.mark.parametrize(
    ("predictions", "targets"),
    [
        (["0", "1"], ["0", "1"]),  # a label that occurs nowhere is left out, as in scikit-learn
        (["0", "2"], ["0", "1"]),  # one that is only predicted is not
        (["1", "1"], ["0", "0"]),
        (["0", "?"], ["0", "1"]),
    ],
)
def test_absent_labels(predictions: list[str], targets: list[str]) -> None:
    found = scores(Labels(("a", "b", "c")), ("macro_f1", "matthews"), predictions, targets)
    occur = sorted({*predictions, *targets} - {"?"})
    assert found["macro_f1"] == pytest.approx(f1_score(targets, predictions, labels=occur, average="macro"), abs=1e-6)
    assert found["matthews"] == pytest.approx(matthews_corrcoef(targets, predictions), abs=1e-6)


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
    whole = scores(BINARY, ("gender_parity",), predictions[:5], targets[:5], [0, 0, 1, 1, 2])
    assert whole["gender_parity"] == 1 / 2, "the third pair is not whole"
    assert scores(BINARY, ("gender_parity",), ["1"], ["1"])["gender_parity"] == 0


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
    found = scores(Text(), ("squad_f1", "squad_em"), predictions, targets, batch=4)
    assert found["squad_f1"] == pytest.approx(np.mean(f1), abs=1e-6)
    assert found["squad_em"] == pytest.approx(np.mean(match), abs=1e-6)
    assert found["score"] == pytest.approx((np.mean(f1) + np.mean(match)) / 2, abs=1e-6) and found["invalid"] == 0


DIFFERENT = [
    *[("-5", "5"), ("3.5", "35"), ("1,000", "1.000"), ("50%", "50"), ("$5", "€5"), ("1e5", "15"), ("½", "2")],
    *[("C++", "C"), ("C#", "C"), (".NET", "NET"), ("!", "..."), ("?", ""), ("a", ""), ("the", "an"), ("a+b", "a-b")],
    *[
        ("東京", "大阪"),
        ("مرحبا", "سلام"),
        ("हिन्दी", "हिन्दि"),
        ("ประเทศ", "เทศ"),
        ("Москва", "Минск"),
        ("서울", "부산"),
    ],
    *[("🙂", "🙃"), ("👩", "👨"), ("→", "←"), ("US", "us"), ("café", "cafe"), ("la casa", "casa"), ("an", "a n")],
]
SAME = [
    *[("Oslo", " Oslo\n"), ("a  b", "a b"), ("e\u0301", "é"), ("-5", "-5"), ("!", "!"), ("the", "the"), ("...", "...")],
    *[("東京タワー", "東京タワー"), ("مرحبا بك", "مرحبا بك"), ("हिन्दी", "हिन्दी"), ("🙂", "🙂"), ("C++", "C++")],
]


@pytest.mark.parametrize(("prediction", "target"), DIFFERENT)
def test_different_texts_do_not_match(prediction: str, target: str) -> None:
    """In every script, sign and symbol, either way round and beside an answer that is no better."""
    for pair in ((prediction, target), (target, prediction)):
        found = scores(Text(), ("exact_match", "f1"), [pair[0]], [[pair[1], "something else"]])
        assert found["exact_match"] == 0 and found["f1"] < 1


@pytest.mark.parametrize(("prediction", "target"), SAME)
def test_the_same_text_matches(prediction: str, target: str) -> None:
    found = scores(Text(), ("exact_match", "f1", "rouge"), [prediction], [["something else", target]])
    assert found == {"exact_match": 1, "f1": 1, "rouge": 1, "score": 1, "invalid": 0}


@pytest.mark.parametrize(
    ("prediction", "target", "f1"),
    [
        ("red green red", "red red blue", 2 / 3),  # as often as they occur
        ("-5 °C", "5 °C", 1 / 2),
        ("東京タワー", "東京", 4 / 7),  # a character is a word where no spaces are written
        ("東京 Tower", "東京 tower", 2 / 3),
        ("مرحبا بك", "مرحبا", 2 / 3),
        ("हिन्दी भाषा", "हिन्दी", 2 / 3),
        ("", "a", 0),
        (" ", "\n", 1),
    ],
)
def test_f1_over_words(prediction: str, target: str, f1: float) -> None:
    assert word_f1(prediction, [target]) == pytest.approx(f1) == word_f1(target, [prediction])


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        ("The cat, sat!", "the cat sat", 1),  # as in Google's rouge_score
        ("well-known", "well known", 1),
        ("b a", "a b", 1 / 2),
        ("-5", "5", 0),
        ("−5", "-5", 1),
        ("3.5", "35", 0),
        ("5 - 3", "5 3", 1),
        ("C++", "C", 1 / 2),
        ("東京タワー", "東京", 4 / 7),
        ("東京", "大阪", 0),
        ("Привет, мир", "привет мир", 1),
        ("हिन्दी भाषा", "हिन्दि भाषा", 1 / 2),
        ("مرحبا بك", "مرحبا", 2 / 3),
        ("🙂 yes", "🙃 yes", 1 / 2),
        ("!", "?", 0),
    ],
)
def test_rouge_in_every_script(prediction: str, target: str, expected: float) -> None:
    assert rouge(prediction, [target]) == pytest.approx(expected, abs=1e-6) == rouge(target, [prediction])


def test_rouge_of_ascii_is_torchmetrics() -> None:
    """Which tokenizes as Google's rouge_score does."""
    rng = np.random.default_rng(0)
    vocabulary = ["the", "The", "cat", "dog,", "sat.", "on", "mat", "it's", "3", "4.5", "well-known", "(or"]
    for _ in range(50):
        one, other = (" ".join(rng.choice(vocabulary, rng.integers(1, 9))) for _ in range(2))
        expected = rouge_score(one, other, rouge_keys="rougeL")["rougeL_fmeasure"].item()
        assert rouge(one, [other]) == pytest.approx(expected, abs=1e-6)


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
        (BINARY, "rouge", "does not fit answers that are labels; .*text: exact_match, f1, rouge, squad_em, squad_f1"),
        (Text(), "rogue", "did you mean 'rouge'"),
        (Labels(("a", "b", "c")), "f1", "metric f1 is for two labels; expected macro_f1 for more"),
    ],
)
def test_a_metric_must_fit_the_answers(answer: Answer, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_metrics(answer, [name])
