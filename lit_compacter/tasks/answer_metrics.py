"""A task's metrics over the answers of all processes, and the outcome of each example that they are computed from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lit_compacter.tasks.answers import Answer, Labels, Valued
from lit_compacter.tasks.metrics import METRICS, Values

NUM_SAMPLES = 3
INVALID_SHARE, SCORE = "invalid", "score"
PREDICTION, TARGET = "prediction", "target"


@dataclass(frozen=True)
class Outcomes:
    """What became of each example of a split, in row order: all that metrics need.

    Attributes:
        kind: The kind of answer: labels, numbers or text.
        rows: (N,) row numbers.
        groups: (N,) the group of each row; a row without others has one of its own.
        valid: (N,) whether the output was an answer.
        columns: Name → (N,). For labels (as class numbers, −1 for an invalid output) and numbers (float64), the
            prediction and the target. For text, the score of each metric.
        classes: Number of labels; 0 for the other kinds.
    """

    kind: str
    rows: Tensor
    groups: Tensor
    valid: Tensor
    columns: Mapping[str, Tensor]
    classes: int = 0

    def score(self, metric: str) -> Tensor:
        """The value of a metric of `METRICS[kind]`, or of `invalid`, over all examples."""
        if metric == INVALID_SHARE:
            return 1 - self.valid.double().mean()
        if self.kind == "text":
            return self.columns[metric].mean()
        values = Values(self.columns[PREDICTION], self.columns[TARGET], self.groups, self.classes)
        value: Tensor = METRICS[self.kind][metric](values)
        return value

    def take(self, index: Tensor, groups: Tensor) -> "Outcomes":
        """The examples at `index`, in other groups."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return Outcomes(self.kind, self.rows[index], groups, self.valid[index], columns, self.classes)

    def records(self) -> Iterator[dict[str, Any]]:
        """One record per example, as test_predictions.jsonl has them; a number that is NaN is None."""
        names = ("row", "group", "valid", *self.columns)
        columns = (self.rows, self.groups, self.valid, *self.columns.values())
        for values in zip(*(column.tolist() for column in columns), strict=True):
            yield {name: None if value != value else value for name, value in zip(names, values, strict=True)}

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, Any]]) -> "Outcomes":
        """The outcomes of such records, of which there is at least one."""
        first = records[0]
        rows, groups, valid = (torch.tensor([record[name] for record in records]) for name in ("row", "group", "valid"))
        columns = {
            name: torch.from_numpy(np.array([record[name] for record in records], dtype=np.float64))  # None: NaN
            for name in first
            if name not in ("row", "group", "valid")
        }
        if TARGET not in columns:
            return cls("text", rows, groups, valid, columns)
        if isinstance(first[TARGET], float):
            return cls("numbers", rows, groups, valid, columns)
        labels = {name: column.long() for name, column in columns.items()}
        return cls("labels", rows, groups, valid, labels, classes=1 + max(1, *(int(x.max()) for x in labels.values())))


class AnswerMetrics(Metric):
    """A task's metrics over generated texts, their mean as `score`, and the share of invalid outputs.

    The states are a few numbers per example, which torchmetrics gathers from all processes, so results do not depend
    on the batches or on the number of processes. `samples` are this process's first outputs with the expected texts;
    `outcomes` are those of all processes, from the last `compute`.

    Args:
        answer: The task's kind of answer.
        names: Keys of `METRICS[answer.kind]`.
    """

    full_state_update = False
    examples: list[Tensor]
    groups: list[Tensor]
    rows: list[Tensor]

    def __init__(self, answer: Answer, names: Sequence[str]) -> None:
        super().__init__()
        self.answer = answer
        self.samples: list[tuple[str, str]] = []
        self.outcomes: Outcomes | None = None
        self.scores = {name: METRICS[answer.kind][name] for name in names}
        self.add_state("examples", default=[], dist_reduce_fx="cat")
        self.add_state("groups", default=[], dist_reduce_fx="cat")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(
        self,
        predictions: Sequence[str],
        targets: Sequence[Sequence[str]],
        groups: Sequence[int],
        rows: Sequence[int],
    ) -> None:
        """Add generated texts, each with all correct texts, its group and its row number."""
        expected = (texts[0] for texts in targets)
        self.samples += list(zip(predictions, expected, strict=True))[: NUM_SAMPLES - len(self.samples)]
        examples = [self._example(*pair) for pair in zip(predictions, targets, strict=True)]
        # float64 bits as int64, because not every device supports float64: (B, 3) or (B, 1 + metrics)
        self.examples.append(torch.tensor(examples, dtype=torch.float64).view(torch.int64).to(self.device))
        self.groups.append(torch.tensor(groups, device=self.device))  # (B,)
        self.rows.append(torch.tensor(rows, device=self.device))  # (B,)

    def compute(self) -> dict[str, Tensor]:
        """Metric name → value, `score` their mean, `invalid` in [0, 1]."""
        self.outcomes = self._gathered()
        values = {name: self.outcomes.score(name).float() for name in self.scores}
        score = torch.stack(list(values.values())).mean()
        return values | {SCORE: score, INVALID_SHARE: self.outcomes.score(INVALID_SHARE).float()}

    def reset(self) -> None:
        super().reset()
        self.samples = []

    def describe_samples(self) -> str:
        """The first outputs with the expected texts."""
        return ", ".join(f"{generated!r} (expected {expected!r})" for generated, expected in self.samples)

    def _gathered(self) -> Outcomes:
        """The examples of all processes, within `compute`."""
        # Sort by row and drop duplicates, so that results are bit-identical for any number of processes.
        rows, once = np.unique(dim_zero_cat(self.rows).cpu().numpy(), return_index=True)
        valid, *columns = dim_zero_cat(self.examples).cpu()[once].view(torch.float64).unbind(1)
        classes = len(self.answer.names) if isinstance(self.answer, Labels) else 0
        names = (PREDICTION, TARGET) if isinstance(self.answer, Valued) else tuple(self.scores)
        named = {n: c.long() if classes else c for n, c in zip(names, columns, strict=True)}
        groups = dim_zero_cat(self.groups).cpu()[once]
        return Outcomes(self.answer.kind, torch.from_numpy(rows), groups, valid.bool(), named, classes)

    def _example(self, prediction: str, targets: Sequence[str]) -> list[float]:
        """Whether the prediction is valid, then each text metric's score, or the values to compare."""
        valid = float(self.answer.to_submission(prediction) is not None)
        if isinstance(self.answer, Valued):
            return [valid, self.answer.value(prediction), self.answer.value(targets[0])]
        return [valid, *(score(prediction, targets) for score in self.scores.values())]
