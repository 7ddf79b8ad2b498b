"""Metrics of generated answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_f1_score, multiclass_f1_score
from torchmetrics.utilities import dim_zero_cat

from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.tasks import text_metrics
from lit_compacter.tasks.answers import INVALID, Answer, Labels, Valued


@dataclass(frozen=True)
class Values:
    """The values that the metrics for labels (as classes) and for numbers compare."""

    predictions: Tensor  # (N,): classes, `INVALID` for an invalid output; or float64, NaN for an invalid output
    targets: Tensor  # (N,)
    groups: Tensor  # (N,)
    classes: int  # 0 for numbers


def accuracy(v: Values) -> Tensor:
    """Share of correct answers; an invalid output is wrong."""
    return (v.predictions == v.targets).double().mean()


def f1(v: Values) -> Tensor:
    """F1 of class 1, the second label; an invalid output counts as the opposite of its target."""
    return binary_f1_score(torch.where(v.predictions == INVALID, 1 - v.targets, v.predictions), v.targets)


def macro_f1(v: Values) -> Tensor:
    """Mean of each label's F1, over the labels that occur in targets or predictions; an invalid output has no label."""
    # An extra class holds the invalid outputs and is not part of the mean.
    predictions = v.predictions % (v.classes + 1)
    each = multiclass_f1_score(predictions, v.targets, v.classes + 1, average="none")
    occurs = torch.bincount(torch.cat([predictions, v.targets]), minlength=v.classes + 1) > 0
    return each[: v.classes][occurs[: v.classes]].mean()


def matthews(v: Values) -> Tensor:
    """Matthews correlation, R_K for several labels; all invalid outputs are an extra class; 0 if undefined."""
    # torchmetrics counts in float32, which is wrong in the sixth digit from about 100,000 rows on.
    each = [torch.bincount(side % (v.classes + 1), minlength=v.classes + 1) for side in (v.predictions, v.targets)]
    predicted, true = (counts.double() for counts in each)
    total, right = len(v.targets), (v.predictions == v.targets).sum()
    covariance = right * total - predicted @ true
    variances = (total**2 - predicted @ predicted) * (total**2 - true @ true)
    return covariance / variances.sqrt() if variances > 0 else torch.tensor(0.0)


def group_match(v: Values) -> Tensor:
    """Share of groups with all rows correct (MultiRC: questions with all answers judged correctly)."""
    return _per_group((v.predictions == v.targets).long(), v.groups, "amin").double().mean()


def gender_parity(v: Values) -> Tensor:
    """Share of Winogender pairs (a sentence with either gender) with equal labels; incomplete pairs are left out."""
    least, most = (_per_group(v.predictions, v.groups, reduce) for reduce in ("amin", "amax"))
    pairs = _per_group(torch.ones_like(v.groups), v.groups, "sum") > 1
    return ((least == most) & (least != INVALID))[pairs].double().mean() if pairs.any() else torch.tensor(0.0)


def _per_group(values: Tensor, groups: Tensor, reduce: str) -> Tensor:
    _, index = groups.unique(return_inverse=True)
    empty = torch.zeros(int(index.max()) + 1, dtype=values.dtype)
    return empty.scatter_reduce(0, index, values, reduce, include_self=False)


def pearson(v: Values) -> Tensor:
    """Pearson correlation; an invalid output counts as the mean of the others; 0 if undefined."""
    return _correlation(_filled(v.predictions, lambda valid: valid), v.targets)


def spearman(v: Values) -> Tensor:
    """Spearman's rank correlation, ties at their mean rank; 0 if undefined.

    An invalid output has the mean rank of the others.
    """
    return _correlation(_filled(v.predictions, _ranks), _ranks(v.targets))


def _filled(predictions: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `of` to the valid predictions and center it; invalid ones become 0, which adds nothing to a covariance."""
    valid = ~predictions.isnan()
    filled = torch.zeros_like(predictions)
    known = of(predictions[valid])
    if len(known.unique()) > 1:  # else rounding would make the mean of equal numbers differ from them
        filled[valid] = known - known.mean()
    return filled


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    if min(len(x.unique()), len(y.unique())) < 2:
        return torch.tensor(0.0)
    x, y = x - x.mean(), y - y.mean()  # two passes in float64, accurate for large offsets
    return (x @ y / (x.norm() * y.norm())).clamp(-1, 1)


def _ranks(x: Tensor) -> Tensor:
    """Ranks from 1; equal values have the mean of their ranks."""
    _, index, counts = x.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2)[index].double()


# Kind of answer → name → score.
METRICS: dict[str, Mapping[str, Callable[..., Any]]] = {
    "labels": {
        "accuracy": accuracy,
        "f1": f1,
        "macro_f1": macro_f1,
        "matthews": matthews,
        "exact_match": group_match,
        "gender_parity": gender_parity,
    },
    "numbers": {"pearson": pearson, "spearman": spearman},
    "text": {
        "exact_match": text_metrics.exact_match,
        "f1": text_metrics.word_f1,
        "rouge": text_metrics.rouge,
        "squad_em": text_metrics.squad_em,
        "squad_f1": text_metrics.squad_f1,
    },
}


def check_metrics(answer: Answer, names: Sequence[str]) -> None:
    """Raise UserError if a metric does not exist or does not support that kind of answer."""
    for name in names:
        if name not in METRICS[answer.kind]:
            expected = "; ".join(f"{kind}: {', '.join(known)}" for kind, known in METRICS.items())
            every = {metric for known in METRICS.values() for metric in known}
            hint = "" if name in every else did_you_mean(name, every)
            raise UserError(f"metric {name!r} does not fit answers that are {answer.kind}; there are {expected}{hint}")
    if "f1" in names and isinstance(answer, Labels) and len(answer.names) != 2:
        raise UserError("metric f1 is for two labels; expected macro_f1 for more")


NUM_SAMPLES = 3


class AnswerMetrics(Metric):
    """A task's metrics over generated texts, their mean as `score`, and the share of invalid outputs.

    The states are a few numbers per example, which torchmetrics gathers from all processes, so results do not depend
    on the batches or on the number of processes. `samples` are this process's first outputs with the expected texts.

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
        # Sort by row and drop duplicates, so that results are bit-identical for any number of processes.
        _, once = np.unique(dim_zero_cat(self.rows).cpu().numpy(), return_index=True)
        valid, *columns = dim_zero_cat(self.examples).cpu()[once].view(torch.float64).unbind(1)
        if not isinstance(self.answer, Valued):
            values = dict(zip(self.scores, (column.mean() for column in columns), strict=True))
        else:
            classes = len(self.answer.names) if isinstance(self.answer, Labels) else 0
            predictions, targets = (column.long() if classes else column for column in columns)
            compared = Values(predictions, targets, dim_zero_cat(self.groups).cpu()[once], classes)
            values = {name: score(compared) for name, score in self.scores.items()}
        values = {name: value.float() for name, value in values.items()}
        return values | {"score": torch.stack(list(values.values())).mean(), "invalid": 1 - valid.float().mean()}

    def reset(self) -> None:
        super().reset()
        self.samples = []

    def describe_samples(self) -> str:
        """The first outputs with the expected texts."""
        return ", ".join(f"{generated!r} (expected {expected!r})" for generated, expected in self.samples)

    def _example(self, prediction: str, targets: Sequence[str]) -> list[float]:
        """Whether the prediction is valid, then each text metric's score, or the values to compare."""
        valid = float(self.answer.to_submission(prediction) is not None)
        if isinstance(self.answer, Valued):
            return [valid, self.answer.value(prediction), self.answer.value(targets[0])]
        return [valid, *(score(prediction, targets) for score in self.scores.values())]
