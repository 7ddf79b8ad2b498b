"""The verbs of the command line. This module has no slow imports, so that --help answers at once."""

import argparse
from collections.abc import Sequence
from importlib.metadata import version

from lit_compacter.errors import UserError, did_you_mean
from lit_compacter.runtime.command import command_name

VERBS = {
    "fit": "Train a model, and keep adapter checkpoints, metrics and the learning curve in a run folder.",
    "validate": "Score a checkpoint on the validation rows.",
    "test": "Score a checkpoint on the test rows.",
    "predict": "Write a checkpoint's answers to predictions.jsonl and to files for the leaderboard.",
    "show": "Print examples of a task as text pairs, the distributions of labels and lengths, and what the rows lose "
    "to truncation and to the vocabulary.",
    "plan": "Estimate the memory that a run takes on each device, and which cards it fits, without weights and data.",
    "download": "Download the model and the data set of a run to the cache, for machines without a network.",
    "study": "Run a grid of methods, tasks, seeds and other options: fit and test for each cell. The same command "
    "goes on with a study that was stopped.",
    "report": "Make tables, figures and a page from the results of a study or of runs, with tests of significance.",
    "export": "Write the adapter of a checkpoint to a folder with a model card, for load_adapter and the hub.",
}


def split_verb(words: Sequence[str]) -> tuple[str, list[str]]:
    """Split a command line into the verb and the arguments after it. For --help and --version, print and exit.

    Raises:
        UserError: There is no verb, or it is unknown.
    """
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
