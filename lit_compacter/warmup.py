"""The warm-up of the learning rate: as a number of optimizer steps or as a share of the run."""

import math
import warnings
from typing import TypeAlias

from jsonargparse.typing import NonNegativeInt, restricted_number_type

PAPER = 500  # optimizer steps, for every task
Share = restricted_number_type("Share", float, [(">=", 0), ("<", 1)])
# The share comes first: of a union, jsonargparse writes a value as the first type that it fits, and 0.06 as int is 0.
Warmup: TypeAlias = Share | NonNegativeInt  # type: ignore[valid-type]


def get_warmup_steps(warmup: float, steps: int) -> int:
    """Number of warm-up steps in a run of `steps` optimizer steps.

    Below 1 `warmup` is a share of the run and rounded up, as `warmup_steps` of transformers' `TrainingArguments` is.
    """
    return math.ceil(warmup * steps) if warmup < 1 else int(warmup)


def warn_if_too_long(warmup: int, steps: int, learning_rate: float) -> None:
    """Warn if the warm-up fills the whole run.

    Args:
        warmup: Warm-up steps.
        steps: Optimizer steps of the run.
        learning_rate: The peak.
    """
    if warmup < steps:
        return
    recipe = ", the paper's recipe for every task" if warmup == PAPER else ""
    reached = learning_rate * (steps - 1) / warmup
    warnings.warn(
        f"the warm-up has {warmup:,} optimizer steps{recipe}, and this run has {steps:,}: the learning rate only "
        f"rises, to {reached:.3g} at the last step, and never reaches {learning_rate:g}. Give a share of the run, such "
        "as --model.warmup_steps 0.06, or --config recipes/small.yaml after the task's file",
        stacklevel=3,
    )
