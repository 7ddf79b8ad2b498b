"""Run a verb: from its options to the end of the run."""

import os
import sys
import warnings
from importlib import import_module
from typing import Any

from lit_compacter.checkpoints.format import METADATA_KEY
from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.checkpoints.paths import refuse_existing_checkpoints
from lit_compacter.cli.cli import CLI
from lit_compacter.cli.loggers import end_runs
from lit_compacter.cli.logging import collect_run_warnings, configure_logging
from lit_compacter.cli.request import Request, replaced_options
from lit_compacter.cli.trainer import check_trainer_options, make_trainer
from lit_compacter.errors import UserError
from lit_compacter.hub.repository import forget_lookups
from lit_compacter.results.summaries import summarize_run
from lit_compacter.runtime.connection import translate_lost_connections
from lit_compacter.runtime.errors import report_user_errors, translate_resource_errors
from lit_compacter.runtime.launch import check_launch
from lit_compacter.runtime.signals import handle_stop_signals
from lit_compacter.runtime.torch_state import restore_torch_state

# Arguments for the trainer's methods: predictions go to a file, and `summarize_run` prints the metrics.
KEYWORDS: dict[str, dict[str, Any]] = {
    "fit": {},
    "validate": {"verbose": False},
    "test": {"verbose": False},
    "predict": {"return_predictions": False},
}


def run(verb: str, args: list[str]) -> dict[str, float] | None:
    """Run a verb. A user error prints one line to stderr and exits with code 2.

    Args:
        verb: One of `VERBS`.
        args: The arguments after the verb.

    Returns:
        The final metrics of fit, validate, test or predict; None for the other verbs.
    """
    with (
        restore_torch_state(),
        handle_stop_signals(),
        configure_logging(),
        report_user_errors(debug="--debug" in args),
    ):
        sys.path.append(os.getcwd())  # to import custom classes
        forget_lookups()
        if verb in KEYWORDS:
            return train_or_evaluate(verb, args)
        import_module(f"lit_compacter.cli.{verb}").main(args)  # here, because its imports take time
        return None


def train_or_evaluate(verb: str, args: list[str]) -> dict[str, float]:
    """Train a model, or evaluate a checkpoint.

    Args:
        verb: fit, validate, test or predict.
        args: The arguments after the verb.

    Returns:
        The final metrics.
    """
    request, trains = Request.read(args), verb == "fit"
    if replaced := replaced_options(request.configs):
        warnings.warn(f"later config files replace options of earlier ones: {'; '.join(replaced)}", stacklevel=2)
    checkpoint = None if trains else request.find_checkpoint()
    cli = CLI(verb, request, read_checkpoint(checkpoint)[METADATA_KEY] if checkpoint else None)
    if not (trains or checkpoint):
        raise UserError(f"{verb} needs --ckpt_path: a .ckpt file, or best or last with --run_name")
    check_trainer_options(cli.config.trainer, cli.config_init.trainer, trains)
    cli.model.check_options(cli.datamodule.task)
    data = cli.datamodule.options
    with cli.open_run_dir() as run_dir, translate_resource_errors(data.batch_size, data.max_source_length):
        if trains:  # the lock is held: no other run can write one now
            checkpoint = cli.find_checkpoint()
            if run_dir:
                refuse_existing_checkpoints(run_dir.path, checkpoint)
        trainer = make_trainer(cli, run_dir, checkpoint)
        check_launch(trainer, cli.config.trainer.strategy)
        with end_runs(trainer.loggers), translate_lost_connections(trainer), collect_run_warnings() as told:
            getattr(trainer, verb)(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, **KEYWORDS[verb])
        return summarize_run(trainer, run_dir, verb, checkpoint, told)
