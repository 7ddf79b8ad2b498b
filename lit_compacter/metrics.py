"""Text in, torchmetrics out: what generated answers are worth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef
from torchmetrics.functional.classification import (
    binary_f1_score,
    multiclass_f1_score,
    multiclass_matthews_corrcoef,
)
from torchmetrics.functional.text import rouge_score, squad
from torchmetrics.utilities import dim_zero_cat

from lit_compacter.answers import INVALID, Answer, Labels, Valued
from lit_compacter.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Values:
    """What scores of labels (as classes) and of numbers compare."""

    predictions: Tensor  # (N,)
    targets: Tensor  # (N,)
    groups: Tensor  # (N,)
    classes: int  # 0 for numbers


# Of labels and numbers: all examples at once.
ValueScore: TypeAlias = Callable[[Values], Tensor]
# Of texts, one example: the prediction and every right answer.
TextScore: TypeAlias = Callable[[str, Sequence[str]], float]


def accuracy(v: Values) -> Tensor:
    """Share of right answers; an invalid output is wrong."""
    return (v.predictions == v.targets).double().mean()


def f1(v: Values) -> Tensor:
    """F1 of class 1, the second label; an invalid output counts as the opposite of its target."""
    return binary_f1_score(torch.where(v.predictions == INVALID, 1 - v.targets, v.predictions), v.targets)


def macro_f1(v: Values) -> Tensor:
    """Mean over the labels of each one's F1; an invalid output is of none of them."""
    # One class more takes the invalid outputs and is left out of the mean.
    each = multiclass_f1_score(v.predictions % (v.classes + 1), v.targets, v.classes + 1, average="none")
    return each[: v.classes].mean()


def matthews(v: Values) -> Tensor:
    """Matthews correlation; all invalid outputs are one class more, and an undefined correlation is 0."""
    return multiclass_matthews_corrcoef(v.predictions % (v.classes + 1), v.targets, v.classes + 1)


def group_match(v: Values) -> Tensor:
    """Share of groups that are right in every row (MultiRC: questions of which every answer is judged rightly)."""
    return _per_group((v.predictions == v.targets).long(), v.groups, "amin").double().mean()


def gender_parity(v: Values) -> Tensor:
    """Share of pairs, a sentence with either gender, that get the same label (Winogender)."""
    least, most = (_per_group(v.predictions, v.groups, reduce) for reduce in ("amin", "amax"))
    return ((least == most) & (least != INVALID)).double().mean()


def _per_group(values: Tensor, groups: Tensor, reduce: str) -> Tensor:
    _, index = groups.unique(return_inverse=True)
    empty = torch.zeros(int(index.max()) + 1, dtype=values.dtype)
    return empty.scatter_reduce(0, index, values, reduce, include_self=False)


def pearson(v: Values) -> Tensor:
    """Pearson correlation; 0 where it is undefined."""
    return pearson_corrcoef(v.predictions, v.targets) if _vary(v) else torch.tensor(0.0)


def spearman(v: Values) -> Tensor:
    """Spearman's rank correlation, ties at their mean rank; 0 where it is undefined."""
    return spearman_corrcoef(v.predictions, v.targets) if _vary(v) else torch.tensor(0.0)


def _vary(v: Values) -> bool:
    return min(len(v.predictions.unique()), len(v.targets.unique())) > 1


def exact_match(prediction: str, targets: Sequence[str]) -> float:
    """1 where the text is an answer, regardless of case, punctuation and articles (SQuAD's and ReCoRD's definition)."""
    return _squad(prediction, targets)["exact_match"].item() / 100


def word_f1(prediction: str, targets: Sequence[str]) -> float:
    """F1 over words, the best over all answers, normalised in the same way (SQuAD's and ReCoRD's definition)."""
    return _squad(prediction, targets)["f1"].item() / 100


def _squad(prediction: str, targets: Sequence[str]) -> dict[str, Tensor]:
    answers: Any = {"text": list(targets), "answer_start": [0] * len(targets)}
    return squad([{"id": "", "prediction_text": prediction}], [{"id": "", "answers": answers}])


def rouge(prediction: str, targets: Sequence[str]) -> float:
    """ROUGE-L F-measure, the best over all answers."""
    return rouge_score(prediction, [list(targets)], accumulate="best", rouge_keys="rougeL")["rougeL_fmeasure"].item()


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
    "text": {"exact_match": exact_match, "f1": word_f1, "rouge": rouge},
}


def check_metrics(answer: Answer, names: Sequence[str]) -> None:
    """Raise UserError where a metric is none, or none of that kind of answer."""
    for name in names:
        if name not in METRICS[answer.kind]:
            expected = "; ".join(f"{kind}: {', '.join(known)}" for kind, known in METRICS.items())
            every = {metric for known in METRICS.values() for metric in known}
            hint = "" if name in every else did_you_mean(name, every)
            raise UserError(f"metric {name!r} does not fit answers that are {answer.kind}; there are {expected}{hint}")
    if "f1" in names and isinstance(answer, Labels) and len(answer.words) != 2:
        raise UserError("metric f1 is for two labels; expected macro_f1 for more")


class AnswerMetrics(Metric):
    """A task's metrics over generated texts, their mean as `score`, and the share of outputs that are no answer.

    The states are per example, some numbers each, and torchmetrics gathers those of all processes: the result depends
    on neither the order nor the size of batches, nor on who evaluated them.

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
        """Add generated texts, for each the texts that would be right, the group it belongs to and its row number."""
        examples = [self._example(*pair) for pair in zip(predictions, targets, strict=True)]
        self.examples.append(torch.tensor(examples, device=self.device))  # (B, 3) or (B, 1 + metrics)
        self.groups.append(torch.tensor(groups, device=self.device))  # (B,)
        self.rows.append(torch.tensor(rows, device=self.device))  # (B,)

    def compute(self) -> dict[str, Tensor]:
        """Metric name → value, `score` their mean, `invalid` in [0, 1]."""
        # In the order of the rows, each once: the same numbers, to the bit, however many processes evaluated.
        _, once = np.unique(dim_zero_cat(self.rows).cpu().numpy(), return_index=True)
        valid, *columns = dim_zero_cat(self.examples).cpu()[once].double().unbind(1)
        if not isinstance(self.answer, Valued):
            values = dict(zip(self.scores, (column.mean() for column in columns), strict=True))
        else:
            classes = len(self.answer.words) if isinstance(self.answer, Labels) else 0
            predictions, targets = (column.long() if classes else column for column in columns)
            compared = Values(predictions, targets, dim_zero_cat(self.groups).cpu()[once], classes)
            values = {name: score(compared) for name, score in self.scores.items()}
        values = {name: value.float() for name, value in values.items()}
        return values | {"score": torch.stack(list(values.values())).mean(), "invalid": 1 - valid.float().mean()}

    def _example(self, prediction: str, targets: Sequence[str]) -> list[float]:
        """Whether the prediction is valid, then each text metric's score, or the values to compare."""
        valid = float(self.answer.official(prediction) is not None)
        if isinstance(self.answer, Valued):
            return [valid, self.answer.value(prediction), self.answer.value(targets[0])]
        return [valid, *(score(prediction, targets) for score in self.scores.values())]
