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


def _of_examples(outcomes: Outcomes, metric: str, units: Array) -> Statistic:
    """Any other metric, by the function itself. A group that is drawn twice is two groups."""
    members = np.split(np.argsort(units, kind="stable"), np.cumsum(np.bincount(units))[:-1])

    def value(draw: Array) -> float:
        drawn = [members[unit] for unit in np.repeat(np.arange(len(draw)), draw.astype(int))]
        groups = torch.from_numpy(np.repeat(np.arange(len(drawn)), [len(examples) for examples in drawn]))
        return float(outcomes.take(torch.from_numpy(np.concatenate(drawn)), groups).score(metric))

    return lambda draws: np.array([value(draw) for draw in draws])
