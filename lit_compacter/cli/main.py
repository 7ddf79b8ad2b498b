"""The command line, `python main.py fit|validate|test|predict|… --config rte.yaml …`: from YAML to a run."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lit_compacter import sharded_strategy  # noqa: F401  # registers the strategy
from lit_compacter.checkpoints.format import METADATA_KEY
from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.checkpoints.paths import refuse_existing_checkpoints
from lit_compacter.cli import download, export, show
from lit_compacter.cli.cli import CLI, VERBS
from lit_compacter.cli.logging import configure_logging
from lit_compacter.cli.request import Request, replaced_options
from lit_compacter.cli.trainer import check_trainer_options, make_trainer
from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.hub.repository import forget_lookups
from lit_compacter.results.summaries import summarize_run
from lit_compacter.runtime.errors import report_user_errors, translate_resource_errors
from lit_compacter.runtime.launch import check_launch, command_name
from lit_compacter.runtime.process_state import restore_process_state
from lit_compacter.runtime.signals import handle_stop_signals

# Arguments for the trainer's methods: predictions go to a file, and `summarize_run` prints the metrics.
KEYWORDS: dict[str, dict[str, Any]] = {
    "fit": {},
    "validate": {"verbose": False},
    "test": {"verbose": False},
    "predict": {"return_predictions": False},
}
OTHER_VERBS = {"show": show.main, "download": download.main, "export": export.main}
ENTRY = Path(__file__).parents[1] / "__main__.py"


def main(args: list[str] | None = None) -> dict[str, float] | None:
    """Run the command line. A user error prints one line to stderr and exits with code 2.

    You can also call it from Python, several times or in a thread (signals do not stop a thread). It restores the state
    of the process at the end.

    Args:
        args: The command-line arguments after `main.py`. Default: `sys.argv[1:]`.

    Returns:
        The final metrics of fit, validate, test or predict, as in metrics.json; None for the other verbs.
    """
    words = sys.argv[1:] if args is None else args
    with (
        restore_process_state(),
        handle_stop_signals(),
        configure_logging(),
        report_user_errors(debug="--debug" in words),
    ):
        if args is not None:
            sys.argv = [str(ENTRY), *args]  # Lightning launches further processes with it
        sys.path.append(os.getcwd())  # to import custom classes
        forget_lookups()
        verb, rest = _split_verb(words)
        if verb in OTHER_VERBS:
            OTHER_VERBS[verb](rest)
            return None
        return run(verb, rest)


def _split_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the verb and the arguments after it. For --help and --version, print and exit."""
    example = f"for example: {command_name()} fit --config demo.yaml"
    first = next(iter(words), "")
    if first in ("-h", "--help", "--version"):
        description = "Fine-tune T5 with Compacter, or with one of the methods it is compared with."
        parser = argparse.ArgumentParser(command_name(), description=description, epilog=example)
        parser.add_argument("--version", action="version", version=f"%(prog)s {version('lit-compacter')}")
        verbs = parser.add_subparsers(metavar="verb", title=f"verbs ({command_name()} VERB --help lists its options)")
        for verb, description in VERBS.items():
            verbs.add_parser(verb, help=description)
        parser.parse_args([first])
    if not first or first.startswith("-"):
        raise UserError(f"no verb is given; {example}")
    if first not in VERBS:
        raise UserError(
            f"unknown verb {first!r}; expected one of {', '.join(VERBS)}{did_you_mean(first, VERBS)}; {example}"
        )
    return first, list(words[1:])


def run(verb: str, args: list[str]) -> dict[str, float]:
    """Train or evaluate.

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
    cli.model.check_options()
    data = cli.datamodule.options
    with cli.open_run_dir() as run_dir, translate_resource_errors(data.batch_size, data.max_source_length):
        if trains:  # the lock is held: no other run can write one now
            checkpoint = cli.find_checkpoint()
            if run_dir:
                refuse_existing_checkpoints(run_dir.path, checkpoint)
        trainer = make_trainer(cli, run_dir, checkpoint)
        check_launch(trainer, cli.config.trainer.strategy)
        getattr(trainer, verb)(cli.model, datamodule=cli.datamodule, ckpt_path=checkpoint, **KEYWORDS[verb])
        return summarize_run(trainer, run_dir, verb, checkpoint)
