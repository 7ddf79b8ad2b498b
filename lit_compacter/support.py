"""What of Lightning a run refuses when it starts, because it would not do what its documentation says.

docs/support.md lists every callback and every option of the trainer with what becomes of it.
"""

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)

from lit_compacter.errors import UserError

REFUSED: dict[type[Callback], str] = {
    WeightAveraging: "copies, averages and saves the whole frozen backbone",
    StochasticWeightAveraging: "copies the module before its model is built, and replaces the learning rate's schedule",
    BaseFinetuning: "changes what is trained, which is for --model.method to say",
    ModelPruning: "changes the frozen backbone, which no checkpoint holds",
    LearningRateFinder: "sets a rate that the schedule does not follow; give --model.learning_rate",
    BatchSizeFinder: "changes the batch size, and with it the recipe, from run to run; give --data.batch_size",
}
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")  # what is trained keeps 32 bits or more


def check_support(trainer: Trainer) -> None:
    """Refuse callbacks and precisions that would give wrong results without a word.

    Raises:
        UserError: The trainer has one of them; the message says why, and what to give instead.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        for kind, reason in REFUSED.items():
            if isinstance(callback, kind):
                raise UserError(f"callback {type(callback).__name__} is not supported: it {reason}")
    if trainer.precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision {trainer.precision} keeps trained tensors in fewer than 32 bits, which rounds small "
            f"updates away; expected one of {', '.join(PRECISIONS)}: bf16-mixed is the fast one for T5"
        )
