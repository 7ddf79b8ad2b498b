"""Metrics of labels from their confusion matrix, also for many matrices at once."""

import torch
from torch import Tensor


def confusion(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Count the examples of each prediction and target: (classes + 1, classes); the last row holds invalid outputs.

    Args:
        predictions: (N,) classes, −1 for an invalid output.
        targets: (N,) classes.
        classes: Number of labels.
    """
    pairs = pair_numbers(predictions, targets, classes)
    return torch.bincount(pairs, minlength=(classes + 1) * classes).view(classes + 1, classes).double()


def pair_numbers(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """(N,) for each example, the place of its prediction and target in the flattened confusion matrix."""
    return predictions % (classes + 1) * classes + targets


def f1_of(counts: Tensor) -> Tensor:
    """F1 of class 1 of two, of each matrix (..., 3, 2): 2 hits / (2 hits + false + missed); 0 if undefined.

    An invalid output counts as the opposite of its target.
    """
    hits = counts[..., 1, 1]
    false, missed = counts[..., 1, 0] + counts[..., 2, 0], counts[..., 0, 1] + counts[..., 2, 1]
    return _ratio(2 * hits, 2 * hits + false + missed)


def macro_f1_of(counts: Tensor) -> Tensor:
    """Mean of each label's F1, of each matrix (..., classes + 1, classes); an invalid output has no label.

    The mean is over the labels that occur in targets or predictions.
    """
    predicted, true = counts[..., :-1, :].sum(-1), counts.sum(-2)  # (..., classes)
    hits = counts[..., :-1, :].diagonal(dim1=-2, dim2=-1)
    return _ratio(_ratio(2 * hits, predicted + true).sum(-1), (predicted + true > 0).sum(-1))


def matthews_of(counts: Tensor) -> Tensor:
    """Matthews correlation, R_K for several labels, of each matrix (..., classes + 1, classes); 0 if undefined.

    All invalid outputs are an extra class.
    """
    predicted, true, total = counts.sum(-1), counts.sum(-2), counts.sum((-2, -1))
    right = counts[..., :-1, :].diagonal(dim1=-2, dim2=-1).sum(-1)
    covariance = right * total - (predicted[..., :-1] * true).sum(-1)
    variances = (total**2 - predicted.square().sum(-1)) * (total**2 - true.square().sum(-1))
    return _ratio(covariance, variances.sqrt())


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator, 0.0)
