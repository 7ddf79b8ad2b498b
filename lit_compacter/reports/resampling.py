"""A run's metrics on resampled examples, for many resamples at once."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from lit_compacter.tasks.answer_metrics import INVALID_SHARE, PREDICTION, TARGET, Outcomes
from lit_compacter.tasks.confusion import f1_of, macro_f1_of, matthews_of, pair_numbers

Array: TypeAlias = npt.NDArray[Any]
Statistic: TypeAlias = Callable[[Array], Array]  # (R, U) how often each unit is drawn → (R,) values
OF_COUNTS = {"f1": f1_of, "macro_f1": macro_f1_of, "matthews": matthews_of}


class Resampler:
    """The mean of some metrics on resamples of a run's examples.

    A resample draws units: examples, or the groups of those that belong together (MultiRC's questions).

    Args:
        outcomes: What became of each example.
        metrics: The names of the metrics.
    """

    def __init__(self, outcomes: Outcomes, metrics: Sequence[str]) -> None:
        _, units = np.unique(outcomes.groups.numpy(), return_inverse=True)  # (N,) the unit of each example
        self.num_units = int(units.max()) + 1
        self.statistics = [_statistic(outcomes, metric, units) for metric in metrics]

    def scores(self, draws: Array) -> Array:
        """The mean of the metrics for each resample, (R,).

        Args:
            draws: (R, U) how often each unit is drawn.
        """
        return np.mean([statistic(draws) for statistic in self.statistics], axis=0)


def _statistic(outcomes: Outcomes, metric: str, units: Array) -> Statistic:
    if metric == INVALID_SHARE:
        return _mean(~outcomes.valid.numpy(), units)
    if outcomes.kind == "text":
        return _mean(outcomes.columns[metric].numpy(), units)
    if outcomes.kind == "labels" and metric in OF_COUNTS:
        return _of_counts(outcomes, metric, units)
    if metric == "accuracy":
        return _mean(_is_right(outcomes), units)
    if metric == "exact_match":
        return _mean_of_groups(_is_right(outcomes), units)
    if outcomes.kind == "numbers":
        return _correlation(outcomes, metric == "spearman", units)
    return _of_examples(outcomes, metric, units)


def _is_right(outcomes: Outcomes) -> Array:
    return (outcomes.columns[PREDICTION] == outcomes.columns[TARGET]).numpy()


def _mean(values: Array, units: Array) -> Statistic:
    """The mean over the examples of the drawn units."""
    totals, sizes = np.bincount(units, values), np.bincount(units)
    return lambda draws: (draws @ totals) / (draws @ sizes)


def _mean_of_groups(is_right: Array, units: Array) -> Statistic:
    """The share of drawn units with all examples right."""
    is_whole = np.bincount(units, is_right) == np.bincount(units)
    return lambda draws: draws @ is_whole / draws.sum(1)


def _of_counts(outcomes: Outcomes, metric: str, units: Array) -> Statistic:
    """A metric of the confusion matrix, which is the sum of those of the drawn units."""
    classes = outcomes.classes
    pairs = pair_numbers(outcomes.columns[PREDICTION], outcomes.columns[TARGET], classes).numpy()
    counts = np.zeros((units.max() + 1, (classes + 1) * classes))  # (U, K)
    np.add.at(counts, (units, pairs), 1)
    return lambda draws: OF_COUNTS[metric](torch.from_numpy(draws @ counts).view(-1, classes + 1, classes)).numpy()


def _correlation(outcomes: Outcomes, of_ranks: bool, units: Array) -> Statistic:
    """Pearson's or Spearman's correlation; an invalid prediction is the mean of the others, or has their mean rank."""
    prediction, target = (outcomes.columns[name].numpy() for name in (PREDICTION, TARGET))
    is_valid = ~np.isnan(prediction)

    def values(draws: Array) -> Array:
        weights = draws[:, units]  # (R, N)
        x = _centered(prediction, weights * is_valid, of_ranks)
        y = _centered(target, weights, of_ranks)
        covariance, *variances = ((weights * product).sum(1) for product in (x * y, x * x, y * y))
        scale = np.sqrt(variances[0] * variances[1])
        return np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)

    return values


def _centered(column: Array, weights: Array, of_ranks: bool) -> Array:
    """The drawn values, or their ranks, less their mean in each resample, (R, N); 0 for what is not drawn."""
    is_drawn = weights > 0
    values = _ranks(column, weights) if of_ranks else np.broadcast_to(column, weights.shape)
    least = np.where(is_drawn, values, np.inf).min(1, keepdims=True)
    values = np.where(is_drawn, values - least, 0)  # numbers that do not vary become 0, without rounding
    means = (weights * values).sum(1, keepdims=True) / np.maximum(weights.sum(1, keepdims=True), 1)
    return np.where(is_drawn, values - means, 0)


def _ranks(column: Array, weights: Array) -> Array:
    """The rank of each value in each resample, (R, N); equal values have the mean of their ranks."""
    _, index, counts = np.unique(column, return_inverse=True, return_counts=True)
    up_to = weights[:, np.argsort(index, kind="stable")].cumsum(1)[:, counts.cumsum() - 1]  # (R, distinct values)
    of_value = np.diff(up_to, prepend=0)
    return (up_to - (of_value - 1) / 2)[:, index]


def _of_examples(outcomes: Outcomes, metric: str, units: Array) -> Statistic:
    """Any other metric, by the function itself. A group that is drawn twice is two groups."""
    members = np.split(np.argsort(units, kind="stable"), np.cumsum(np.bincount(units))[:-1])

    def value(draw: Array) -> float:
        drawn = [members[unit] for unit in np.repeat(np.arange(len(draw)), draw.astype(int))]
        groups = torch.from_numpy(np.repeat(np.arange(len(drawn)), [len(examples) for examples in drawn]))
        return float(outcomes.take(torch.from_numpy(np.concatenate(drawn)), groups).score(metric))

    return lambda draws: np.array([value(draw) for draw in draws])
