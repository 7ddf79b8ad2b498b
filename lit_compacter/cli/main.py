"""The command line, `python main.py fit|validate|test|predict|… --config rte.yaml …`.

This module has no slow imports, so that --help answers at once.
"""

import contextlib
import sys
from importlib import import_module

from lit_compacter.cli.verbs import split_verb
from lit_compacter.runtime.command import ENTRY
from lit_compacter.runtime.errors import report_user_errors
from lit_compacter.runtime.process_state import pause_garbage_collection, restore_process_state
from lit_compacter.runtime.rank import is_rank_zero
from lit_compacter.runtime.signals import handle_stop_signals

QUICKLY_PARSED = ("study", "report")  # their options need no slow imports


def main(args: list[str] | None = None) -> dict[str, float] | None:
    """Run the command line. A user error prints one line to stderr and exits with code 2.

    You can also call it from Python, several times or in a thread (signals do not stop a thread). It restores the state
    of the process at the end.

    Args:
        args: The command-line arguments after `main.py`. Default: `sys.argv[1:]`.

    Returns:
        The final metrics of fit, validate, test or predict, as in metrics.json; None for the other verbs.
    """
    is_command = args is None
    words = sys.argv[1:] if args is None else args
    with restore_process_state():
        if args is not None:
            sys.argv = [str(ENTRY), *args]  # Lightning launches further processes with it
        with handle_stop_signals(), report_user_errors(debug="--debug" in words):
            verb, rest = split_verb(words)
            if verb in QUICKLY_PARSED:
                import_module(f"lit_compacter.cli.{verb}").parse(rest)
            if is_command and sys.stderr.isatty() and is_rank_zero():
                print("loading PyTorch, Lightning and Transformers …", file=sys.stderr)
            # Here, because it takes seconds, and a mistake above needs none of these libraries.
            with pause_garbage_collection() if is_command else contextlib.nullcontext():
                from lit_compacter.cli.run import run
        return run(verb, rest)
