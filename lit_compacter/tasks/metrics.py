"""Metrics of generated answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.tasks import text_metrics
from lit_compacter.tasks.answers import INVALID, Answer, Labels
from lit_compacter.tasks.confusion import confusion, f1_of, macro_f1_of, matthews_of


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
    return f1_of(confusion(v.predictions, v.targets, v.classes))


def macro_f1(v: Values) -> Tensor:
    """Mean of each label's F1, over the labels that occur in targets or predictions; an invalid output has no label."""
    return macro_f1_of(confusion(v.predictions, v.targets, v.classes))


def matthews(v: Values) -> Tensor:
    """Matthews correlation, R_K for several labels; all invalid outputs are an extra class; 0 if undefined."""
    return matthews_of(confusion(v.predictions, v.targets, v.classes))


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
