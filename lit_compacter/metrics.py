"""Text in, torchmetrics out: what generated answers are worth."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import (
    binary_f1_score,
    multiclass_accuracy,
    multiclass_f1_score,
    multiclass_matthews_corrcoef,
)
from torchmetrics.utilities import dim_zero_cat

INVALID = -1  # the class of an output that is no label
Score: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]  # predicted and true classes (N,), number of classes


def accuracy(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Share of right answers; an invalid output is wrong."""
    # One class more, for all invalid outputs; micro average is the plain share.
    return multiclass_accuracy(predictions % (classes + 1), targets, classes + 1, average="micro")


def f1(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """F1 of class 1; an invalid output counts as the opposite of its target."""
    return binary_f1_score(torch.where(predictions == INVALID, 1 - targets, predictions), targets)


def macro_f1(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Mean over the labels of each one's F1; an invalid output is of none of them."""
    # One class more takes the invalid outputs and is left out of the mean.
    each = multiclass_f1_score(predictions % (classes + 1), targets, classes + 1, average="none")
    return each[:classes].mean()


def matthews(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Matthews correlation; all invalid outputs are one extra class, and an undefined correlation is 0."""
    return multiclass_matthews_corrcoef(predictions % (classes + 1), targets, classes + 1)


METRICS: dict[str, Score] = {"accuracy": accuracy, "f1": f1, "macro_f1": macro_f1, "matthews": matthews}


class TextMetrics(Metric):
    """A task's metrics over generated texts, their mean as `score`, and the share of outputs that are no label.

    The states are per-example classes, so the result depends neither on batch order nor on batch size.

    Args:
        names: Keys of `METRICS`.
        target_texts: The valid outputs; a text's class is its index.
    """

    full_state_update = False
    predictions: list[Tensor]
    targets: list[Tensor]

    def __init__(self, names: Sequence[str], target_texts: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.target_texts = list(target_texts)
        self.add_state("predictions", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        """Add generated texts and the target texts they should have been."""
        self.predictions.append(self._classes(predictions))
        self.targets.append(self._classes(targets))

    def compute(self) -> dict[str, Tensor]:
        """Metric name → value, `score` their mean, `invalid` in [0, 1]."""
        predictions, targets = dim_zero_cat(self.predictions), dim_zero_cat(self.targets)
        values = {name: METRICS[name](predictions, targets, len(self.target_texts)).float() for name in self.names}
        invalid = (predictions == INVALID).float().mean()
        return values | {"score": torch.stack(list(values.values())).mean(), "invalid": invalid}

    def _classes(self, texts: Sequence[str]) -> Tensor:
        known = {text: index for index, text in enumerate(self.target_texts)}
        return torch.tensor([known.get(text.strip(), INVALID) for text in texts], device=self.device)
