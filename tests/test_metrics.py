"""Metrics agree with scikit-learn, and say what an output that is no label is worth."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from lit_compacter.metrics import TextMetrics

BINARY = ["0", "1"]


def scores(names: tuple[str, ...], predictions: list[str], targets: list[str], batch: int = 7) -> dict[str, float]:
    metrics = TextMetrics(names, BINARY)
    for start in range(0, len(targets), batch):
        metrics.update(predictions[start : start + batch], targets[start : start + batch])
    return {name: value.item() for name, value in metrics.compute().items()}


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets, predictions = (rng.integers(0, 2, 200).astype(str).tolist() for _ in range(2))
    found = scores(("accuracy", "f1", "matthews"), predictions, targets)
    expected = {
        "accuracy": accuracy_score(targets, predictions),
        "f1": f1_score(targets, predictions, pos_label="1"),
        "matthews": matthews_corrcoef(targets, predictions),
    }
    assert found == pytest.approx(expected | {"score": np.mean(list(expected.values())), "invalid": 0.0}, abs=1e-6)


def test_invalid_outputs() -> None:
    targets = ["1", "1", "0", "0", "1"]
    predictions = ["1", "maybe", "0", "", "0"]
    found = scores(("accuracy", "f1", "matthews"), predictions, targets)
    assert found["invalid"] == pytest.approx(2 / 5)
    assert found["accuracy"] == pytest.approx(2 / 5)
    opposite = ["1", "0", "0", "1", "0"]
    assert found["f1"] == pytest.approx(f1_score(targets, opposite, pos_label="1"))
    extra = ["1", "x", "0", "x", "0"]
    assert found["matthews"] == pytest.approx(matthews_corrcoef(targets, extra))


def test_macro_f1_is_over_the_labels() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 100).astype(str).tolist()
    predictions = rng.choice(["0", "1", "2", "no label"], 100).tolist()
    metrics = TextMetrics(("macro_f1",), ["0", "1", "2"])
    metrics.update(predictions, targets)
    expected = f1_score(targets, predictions, labels=["0", "1", "2"], average="macro")
    assert metrics.compute()["macro_f1"].item() == pytest.approx(expected, abs=1e-6)


def test_undefined_correlation_is_zero() -> None:
    assert scores(("matthews",), ["1", "1"], ["0", "1"])["matthews"] == 0


def test_only_invalid_outputs() -> None:
    found = scores(("accuracy", "f1", "matthews"), ["a", "b"], ["0", "1"])
    assert found == {"accuracy": 0, "f1": 0, "matthews": 0, "score": 0, "invalid": 1}


def test_batch_size_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    targets, predictions = (rng.integers(0, 2, 50).astype(str).tolist() for _ in range(2))
    names = ("accuracy", "f1", "matthews")
    assert scores(names, predictions, targets, 3) == scores(names, predictions, targets, 50)


def test_surrounding_space_is_forgiven() -> None:
    assert scores(("accuracy",), [" 1 "], ["1"])["accuracy"] == 1
