"""The trainer of a run, with this program's callbacks, and the options that are refused.

docs/support.md lists every callback and option of Lightning's trainer.
"""

import re
from typing import Any

from jsonargparse import Namespace
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    Checkpoint,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    OnExceptionCheckpoint,
    SpikeDetection,
    StochasticWeightAveraging,
    WeightAveraging,
)
from pytorch_lightning.plugins import BitsandbytesPrecision, CheckpointIO
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from lit_compacter.checkpoints.callbacks import BestCheckpoint, LastCheckpoint
from lit_compacter.checkpoints.io import AdapterCheckpointIO
from lit_compacter.checkpoints.paths import CHECKPOINTS
from lit_compacter.cli.cli import CLI
from lit_compacter.cli.progress import progress_bars
from lit_compacter.errors import UserError, first_line
from lit_compacter.results.learning_curve import History
from lit_compacter.results.predictions import BatchIndices, PredictionWriter
from lit_compacter.results.resources import Resources
from lit_compacter.results.run_dir import RunDir
from lit_compacter.results.summaries import DataSummary, LogHyperparameters, ParameterSummary, SaveConfig
from lit_compacter.runtime.connection import Connection
from lit_compacter.runtime.launch import StopTogether

MID_STEP = "writes in the middle of a step, which a resumed run would skip; use last.ckpt (--save_every_n_steps)"
REFUSED: dict[type, str] = {  # of the trainer's callbacks and plugins
    WeightAveraging: "copies, averages and saves the whole frozen backbone; use best.ckpt",
    StochasticWeightAveraging: "copies the module before its model is built, and replaces the learning rate's "
    "schedule; use best.ckpt",
    BaseFinetuning: "changes which parameters are trained; use --model.method",
    ModelPruning: "changes the frozen backbone, which no checkpoint holds; choose a smaller --model.method",
    LearningRateFinder: "sets a rate that the schedule does not follow; give --model.learning_rate",
    BatchSizeFinder: "changes the batch size, and with it the recipe, from run to run; give --data.batch_size",
    SpikeDetection: "cannot read its own state back, so no checkpoint could be resumed; training that diverges stops "
    "by itself, and --trainer.gradient_clip_val bounds each step",
    OnExceptionCheckpoint: MID_STEP,
    CheckpointIO: "would replace the writer of adapter checkpoints, which writes atomically; remove it",
    BitsandbytesPrecision: "quantizes all linear layers, including trained ones; use --trainer.precision bf16-mixed",
}
REFUSED_OPTIONS = {
    "overfit_batches": "replaces our samplers: use --trainer.limit_train_batches instead",
    "use_distributed_sampler": "true replaces our samplers, which divide the rows: set it to false",
    "barebones": "keeps no logs and no checkpoints: remove it",
    "model_registry": "uploads nothing here, because checkpoints stay in the run folder: remove it",
}
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")  # trainable parameters keep 32 bits or more


def make_trainer(cli: CLI, run_dir: RunDir | None, checkpoint: str | None) -> Trainer:
    """Build the trainer with this program's callbacks and plugins in addition to the user's.

    Args:
        cli: The parsed command line, with the trainer's options.
        run_dir: The run directory; None for a dry run.
        checkpoint: The checkpoint that the run starts from.

    Raises:
        UserError: The trainer refuses an option.
    """
    given = cli.config_init.trainer
    callbacks = as_list(given.callbacks)
    options: dict[str, Any] = {
        "callbacks": [*callbacks, *_callbacks(cli, run_dir, checkpoint)],
        "plugins": [*as_list(given.plugins), AdapterCheckpointIO()],
        "logger": cli.config.trainer.logger is not False,  # of a dry run, which logs nothing
    }
    if run_dir:
        options["default_root_dir"] = str(run_dir.path)
        own = cli.make_loggers(run_dir)
        options["logger"] = run_dir.make_loggers(cli.verb) if own is None else own
    if cli.verb != "fit":
        options["enable_checkpointing"] = any(isinstance(callback, Checkpoint) for callback in callbacks)
    try:
        trainer = cli.instantiate_trainer(**options)
    except (ValueError, TypeError, MisconfigurationException) as error:  # on an option that makes no sense here
        absent = re.search("gpu backend|accelerator is not available", str(error))
        hint = "; without one use --trainer.accelerator cpu" if absent else ""
        raise UserError(f"trainer: {first_line(error)}{hint}") from error
    check_precision(trainer)
    if run_dir:
        run_dir.collect_profile(trainer.profiler)  # type: ignore[attr-defined]
    return trainer


def _callbacks(cli: CLI, run_dir: RunDir | None, checkpoint: str | None) -> list[Callback]:
    given, trains = cli.config_init.trainer, cli.verb == "fit"
    callbacks = progress_bars(given.enable_progress_bar, as_list(given.callbacks))
    callbacks += [Connection(), StopTogether(), DataSummary(), BatchIndices()]
    if trains:
        callbacks += [ParameterSummary(), LogHyperparameters(), Resources()]
    if run_dir is None:
        return callbacks
    callbacks.append(SaveConfig(run_dir, cli.resolved_config, cli.verb))
    if cli.verb == "predict":
        callbacks.append(PredictionWriter(run_dir.path))
    if trains:
        callbacks.append(History(run_dir.path))
    if trains and given.enable_checkpointing is not False:
        folder = run_dir.path / CHECKPOINTS
        callbacks += [
            BestCheckpoint(folder, checkpoint, validates_by_batches=isinstance(given.val_check_interval, int)),
            LastCheckpoint(folder, cli.config.save_every_n_steps),  # after BestCheckpoint, whose state it saves
        ]
    return callbacks


def check_trainer_options(options: Namespace, instances: Namespace, trains: bool) -> None:
    """Refuse options, callbacks and plugins of the trainer that would silently give wrong results.

    Args:
        options: The trainer's options.
        instances: The same, with their callbacks and plugins instantiated.
        trains: Whether the run trains.

    Raises:
        UserError: One of them is used. The message says why it is refused and what to do instead.
    """
    for name, advice in REFUSED_OPTIONS.items():
        if options[name]:
            raise UserError(f"trainer.{name} {advice}")
    if not isinstance(value := options.val_check_interval, int | float | None):  # a time: clocks differ by process
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
        UserError: The precision is not supported; the message lists the supported ones.
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
