"""Reduce the output of other libraries: warnings of one line, and only those that concern our users."""

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from pytorch_lightning.utilities.warnings import PossibleUserWarning
from transformers.utils import logging as transformers_logging

from lit_compacter.errors import RunWarning
from lit_compacter.runtime.rank import is_rank_zero
from lit_compacter.utils.console import console

# Lightning's messages about hardware and seeds, which the config also has, and its advertisements.
SILENCED = [
    "pytorch_lightning.utilities.rank_zero",
    *(f"lightning_fabric.utilities.{name}" for name in ("rank_zero", "seed", "distributed")),
]
IGNORED = (
    "Couldn't infer the batch indices",  # BatchIndices sets them
    ".*could not find the monitored key",  # no validation has run yet
    ".*callbacks used to create the checkpoint need to be provided",  # evaluation needs none
    "Checkpoint directory .* exists and is not empty",  # a resumed run's
    "The dirpath has changed from",  # BestCheckpoint handles it
    "Grad strides do not match",  # of vectors as matrices: nothing to gain
    ".*LeafSpec.*is deprecated",
)


@contextlib.contextmanager
def configure_logging() -> Iterator[None]:
    """Configure warnings, loggers and progress bars of the libraries; restore everything at the end."""
    loggers = list(map(logging.getLogger, SILENCED))
    levels = [logger.level for logger in loggers]
    formatting, hook, quiet = warnings.formatwarning, threading.excepthook, console.quiet
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    try:
        with warnings.catch_warnings():
            _configure_warnings()
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            threading.excepthook = _report_thread_failure
            console.quiet = not is_rank_zero()
            transformers_logging.set_verbosity_error()
            if not (sys.stderr.isatty() and is_rank_zero()):
                transformers_logging.disable_progress_bar()
                disable_progress_bars()  # of huggingface_hub, which tokenization follows
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        warnings.formatwarning, threading.excepthook, console.quiet = formatting, hook, quiet
        transformers_logging.set_verbosity(verbosity)
        if bars[0]:
            transformers_logging.enable_progress_bar()
        (enable_progress_bars if bars[1] else disable_progress_bars)()  # transformers enables them too


@contextlib.contextmanager
def collect_run_warnings() -> Iterator[list[str]]:
    """Collect what the run's results should be read with. All warnings are shown as before."""
    show, collected = warnings.showwarning, list[str]()

    def collect(message: Warning | str, *where: Any) -> None:
        if isinstance(message, RunWarning) and message.summary not in collected:
            collected.append(message.summary)
        show(message, *where)

    warnings.showwarning = collect  # type: ignore[assignment]
    try:
        yield collected
    finally:
        warnings.showwarning = show


def _configure_warnings() -> None:
    warnings.formatwarning = lambda message, *_, **__: f"warning: {' '.join(str(message).split())}\n"
    warnings.simplefilter("ignore", PossibleUserWarning)  # Lightning's advice on data loaders and logging
    for message in IGNORED:
        warnings.filterwarnings("ignore", message)
    if not is_rank_zero():
        warnings.simplefilter("ignore")


def _report_thread_failure(args: threading.ExceptHookArgs) -> None:
    """Ignore a logger thread that cannot write to the disk: the main thread gets and reports the same error."""
    if not isinstance(args.exc_value, OSError):
        threading.__excepthook__(args)
