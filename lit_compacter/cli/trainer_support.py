"""The parts of Lightning that a run refuses when it starts, because they would not do what their documentation says.

docs/support.md lists every callback and option of the trainer.
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

MID_STEP = "writes in the middle of a step, which a resumed run would skip; use last.ckpt (--save_every_n_steps)"
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
    CheckpointIO: "would replace the writer of adapter checkpoints, which writes atomically; leave it",
    BitsandbytesPrecision: "quantizes all linear layers, the trained ones included; use --trainer.precision bf16-mixed",
}
REFUSED_OPTIONS = {
    "overfit_batches": "replaces our samplers: use --trainer.limit_train_batches instead",
    "use_distributed_sampler": "true replaces our samplers, which divide the rows: leave it false",
    "barebones": "keeps no logs and no checkpoints: leave it",
    "model_registry": "uploads nothing here, because checkpoints stay in the run folder: leave it",
}
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")  # what is trained keeps 32 bits or more


def check_trainer_options(options: Namespace, instances: Namespace, trains: bool) -> None:
    """Refuse options, callbacks and plugins of the trainer that would give wrong results without a word.

    Args:
        options: The trainer's options.
        instances: The same, with their callbacks and plugins instantiated.
        trains: Whether the run trains.

    Raises:
        UserError: There is one of them; the message says why, and what to do instead.
    """
    for name, advice in REFUSED_OPTIONS.items():
        if options[name]:
            raise UserError(f"trainer.{name} {advice}")
    if not isinstance(value := options.val_check_interval, int | float | None):  # a time: each process has a clock
        raise UserError(f"trainer.val_check_interval is {value}; expected batches, so that a run can be repeated")
    for name in ("max_epochs", "max_steps", "limit_train_batches"):
        if trains and options[name] == 0:
            raise UserError(f"trainer.{name} is 0: nothing would be trained; expected a number above 0")
    for option in ("callbacks", "plugins"):
        for part in as_list(instances[option]):
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
