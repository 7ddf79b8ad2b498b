"""Where in its run a training is, in optimizer steps: what the learning rate's schedule goes by."""

import math

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from pytorch_lightning.utilities import rank_zero_warn
from torch.optim.lr_scheduler import LambdaLR


def count_optimizer_steps(trainer: Trainer, epoch: int = 0, batches: int = 0, steps: int = 0) -> float:
    """Optimizer steps from a point of the run to its end, under the trainer's present options; by default all of them.

    Unlike `Trainer.estimated_stepping_batches` it counts a `GradientAccumulationScheduler`, and from any point.

    Args:
        trainer: Whose training batches are loaded.
        epoch: Epochs before the point.
        batches: Batches of the current epoch before the point.
        steps: Optimizer steps taken before the point.
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
    """Set a resumed schedule to the share of the run that is done.

    The schedule's state counts the steps of the run that was stopped. With another batch size, number of processes,
    accumulation, `max_epochs`, `max_steps` or `limit_train_batches` the run has another number of steps, and as many
    must be left of the schedule as are left of the run. Where nothing has changed the schedule is not touched.

    Args:
        schedule: As restored from the checkpoint.
        trainer: Of the run that goes on, at its start.
        batches: Batches of the current epoch that were trained on before the stop.
    """
    total = count_optimizer_steps(trainer)
    left = count_optimizer_steps(trainer, trainer.current_epoch, batches, trainer.global_step)
    step = int(total - left)
    rate = schedule.base_lrs[0] * schedule.lr_lambdas[0](step)
    if step == schedule.last_epoch and math.isclose(rate, schedule.optimizer.param_groups[0]["lr"], rel_tol=1e-6):
        return
    schedule.last_epoch = step - 1
    schedule.step()
    rank_zero_warn(
        f"the number of optimizer steps in the run has changed since the checkpoint, to {int(total):,}, of which "
        f"{int(left):,} are left: the learning rate goes on at that point of its schedule, {rate:.3g}"
    )


def _accumulation(trainer: Trainer, epoch: int) -> int:
    """Batches per optimizer step in an epoch."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, GradientAccumulationScheduler):
            return callback.get_accumulate_grad_batches(epoch)
    return trainer.accumulate_grad_batches
