"""What of Lightning a run refuses when it starts, because it would not do what its documentation says.

docs/support.md lists every callback and every option of the trainer with what becomes of it.
"""

from typing import Any

from jsonargparse import Namespace
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    OnExceptionCheckpoint,
    SpikeDetection,
    StochasticWeightAveraging,
    WeightAveraging,
)
from pytorch_lightning.plugins import BitsandbytesPrecision, CheckpointIO

from lit_compacter.errors import UserError

MID_STEP = "writes in the middle of a step, which a resumed run would skip; go on from last.ckpt (--save_every)"
REFUSED: dict[type, str] = {  # of the trainer's callbacks and plugins
    WeightAveraging: "copies, averages and saves the whole frozen backbone; use best.ckpt",
    StochasticWeightAveraging: "copies the module before its model is built, and replaces the learning rate's "
    "schedule; use best.ckpt",
    BaseFinetuning: "changes what is trained, which is for --model.method to say",
    ModelPruning: "changes the frozen backbone, which no checkpoint holds; choose a smaller --model.method",
    LearningRateFinder: "sets a rate that the schedule does not follow; give --model.learning_rate",
    BatchSizeFinder: "changes the batch size, and with it the recipe, from run to run; give --data.batch_size",
    SpikeDetection: "cannot read its own state back, so no checkpoint could be resumed; training that diverges stops "
    "by itself, and --trainer.gradient_clip_val bounds each step",
    OnExceptionCheckpoint: MID_STEP,
    CheckpointIO: "would replace the writer of adapter checkpoints, which writes a file whole or not at all; leave it",
    BitsandbytesPrecision: "quantizes all linear layers, the trained ones included; use --trainer.precision bf16-mixed",
}
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")  # what is trained keeps 32 bits or more


def check_trainer_options(trainer: Namespace, fits: bool) -> None:
    """Refuse what Lightning takes and our runs cannot keep, or what would train nothing.

    Args:
        trainer: The trainer's options.
        fits: Is it to train?
    """
    if trainer.overfit_batches:
        raise UserError("trainer.overfit_batches replaces our samplers: use --trainer.limit_train_batches instead")
    if trainer.use_distributed_sampler:
        raise UserError(
            "trainer.use_distributed_sampler true replaces our samplers, which divide the rows: leave it false"
        )
    if trainer.barebones:
        raise UserError("trainer.barebones keeps no logs and no checkpoints: leave it")
    if trainer.model_registry:
        raise UserError("trainer.model_registry uploads nothing here, as checkpoints stay in the run folder: leave it")
    if not isinstance(value := trainer.val_check_interval, int | float | None):  # a time: each process has a clock
        raise UserError(f"trainer.val_check_interval is {value}; expected batches, so that a run can be repeated")
    for name in ("gradient_clip_val", "log_every_n_steps", "min_epochs", "min_steps"):
        if (trainer[name] or 0) < 0:
            raise UserError(f"trainer.{name} is {trainer[name]}; expected a number, 0 or more")
    for name in ("accumulate_grad_batches", "check_val_every_n_epoch", "val_check_interval"):
        if trainer[name] is not None and trainer[name] <= 0:
            raise UserError(f"trainer.{name} is {trainer[name]}; expected a number above 0")
    for name in ("max_epochs", "max_steps", "limit_train_batches"):
        if fits and trainer[name] == 0:
            raise UserError(f"trainer.{name} is 0: nothing would be trained; expected a number above 0")


def check_support(trainer: Namespace) -> None:
    """Refuse callbacks and plugins that would give wrong results without a word.

    Args:
        trainer: The trainer's options, with their callbacks and plugins instantiated.

    Raises:
        UserError: There is one of them; the message says why, and what to do instead.
    """
    for option in ("callbacks", "plugins"):
        for part in as_list(trainer[option]):
            name = type(part).__name__
            if isinstance(part, ModelCheckpoint) and part.save_on_exception:
                raise UserError(f"trainer.{option}: {name} with save_on_exception is not supported: it {MID_STEP}")
            for kind, reason in REFUSED.items():
                if isinstance(part, kind):
                    raise UserError(f"trainer.{option}: {name} is not supported: it {reason}")


def check_precision(trainer: Trainer) -> None:
    """Refuse precisions that do not train in 32 bits or more, however they were given.

    Raises:
        UserError: The trainer has one of them; the message lists the others.
    """
    if trainer.precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision {trainer.precision} keeps trained tensors in fewer than 32 bits, which rounds small "
            f"updates away; expected one of {', '.join(PRECISIONS)}: bf16-mixed is the fast one for T5"
        )


def as_list(value: Any) -> list[Any]:
    """The value of an option that takes one object, a list of them, or null."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
