"""The learning rate's schedule: its warm-up, and where in it a resumed run continues."""

import math
import warnings
from functools import partial
from typing import TypeAlias

from jsonargparse.typing import NonNegativeInt, restricted_number_type
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lit_compacter.errors import RunWarning, UserError

Share = restricted_number_type("Share", float, [(">=", 0), ("<", 1)])
# Share comes first: jsonargparse writes a value as the first matching type of a union, and 0.06 as an int is 0.
Warmup: TypeAlias = Share | NonNegativeInt  # type: ignore[valid-type]


def make_schedule(optimizer: Optimizer, trainer: Trainer, warmup: float) -> LambdaLR:
    """A learning rate that rises linearly over the warm-up and falls linearly to 0 at the run's end.

    Args:
        optimizer: Its learning rate is the peak.
        trainer: The run's trainer.
        warmup: Number of optimizer steps, or, if below 1, a share of the run.

    Raises:
        UserError: The run has no end.
    """
    if not 0 < trainer.estimated_stepping_batches < float("inf"):  # also loads the training batches
        raise UserError(
            "the learning rate falls to 0 over the run, which must have a beginning and an end: "
            "give --trainer.max_epochs, 1 or more"
        )
    steps = int(num_optimizer_steps(trainer))
    warmup_steps = get_warmup_steps(warmup, steps)
    warn_if_too_long(warmup_steps, steps, optimizer.param_groups[0]["lr"])
    return LambdaLR(optimizer, partial(share_of_peak, warmup=warmup_steps, steps=steps))


def share_of_peak(step: int, warmup: int, steps: int) -> float:
    """The learning rate at an optimizer step, as a share of the peak.

    The same as of transformers' `get_linear_schedule_with_warmup`, whose module would also import PEFT.

    Args:
        step: Optimizer steps before this one.
        warmup: Warm-up steps.
        steps: Optimizer steps of the run.
    """
    if step < warmup:
        return step / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def get_warmup_steps(warmup: float, steps: int) -> int:
    """Number of warm-up steps in a run of `steps` optimizer steps.

    Below 1, `warmup` is a share of the run and rounded up, as `warmup_steps` of transformers' `TrainingArguments` is.
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
    reached = learning_rate * (steps - 1) / warmup
    warnings.warn(
        RunWarning(
            f"the warm-up has {warmup:,} optimizer steps, and this run has {steps:,}: the learning rate only rises, to "
            f"{reached:.3g} at the last step, and never reaches {learning_rate:g}",
            ". Use a share of the run, such as --model.warmup_steps 0.06, or add --config recipes/small.yaml after the "
            "task's file",
        ),
        stacklevel=3,
    )


def num_optimizer_steps(trainer: Trainer, epoch: int = 0, batches: int = 0, steps: int = 0) -> float:
    """Number of optimizer steps from a point in the run to its end, with the trainer's current options. Default: all.

    Unlike `Trainer.estimated_stepping_batches`, it respects a `GradientAccumulationScheduler`.

    Args:
        trainer: Its training batches must be loaded.
        epoch: Epochs before the point.
        batches: Batches of the current epoch before the point.
        steps: Optimizer steps before the point.
    """
    limit = math.inf if trainer.max_steps == -1 else max(0, trainer.max_steps - steps)
    if trainer.max_epochs in (None, -1):
        return limit
    left = 0
    for number in range(epoch, trainer.max_epochs):
        accumulation = _accumulation(trainer, number)
        left += math.ceil(trainer.num_training_batches / accumulation)
        if number == epoch:
            left -= batches // accumulation
    return min(limit, max(0, left))


def align_with_run(schedule: LambdaLR, trainer: Trainer, batches: int) -> None:
    """Move a resumed schedule so that it ends with the run.

    The schedule's state counts the steps of the stopped run. A different batch size, number of processes, accumulation,
    `max_epochs`, `max_steps` or `limit_train_batches` changes the number of steps. Another `warmup_steps` changes the
    rate. If nothing has changed, the schedule is left as it is.

    Args:
        schedule: The schedule restored from the checkpoint.
        trainer: The trainer of the resumed run, at its start.
        batches: Batches of the current epoch that the run had trained on before the stop.
    """
    total = num_optimizer_steps(trainer)
    left = num_optimizer_steps(trainer, trainer.current_epoch, batches, trainer.global_step)
    step = int(total - left)
    rate = schedule.base_lrs[0] * schedule.lr_lambdas[0](step)
    if step == schedule.last_epoch and math.isclose(rate, schedule.optimizer.param_groups[0]["lr"], rel_tol=1e-6):
        return
    schedule.last_epoch = step - 1
    schedule.step()
    warnings.warn(
        f"the learning rate's schedule differs from the checkpoint's: it continues at {rate:.3g}, with {int(left):,} "
        f"of {int(total):,} optimizer steps left",
        stacklevel=2,
    )


def _accumulation(trainer: Trainer, epoch: int) -> int:
    """Batches per optimizer step in an epoch."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, GradientAccumulationScheduler):
            return callback.get_accumulate_grad_batches(epoch)
    return trainer.accumulate_grad_batches
