"""What other libraries say and our users need not read."""

import contextlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import TextIO

import datasets
from transformers.utils import logging as transformers_logging

from lit_compacter.runtime.rank import is_first_process

# Of what Lightning says: advertisements, what the config says too, and what its last line repeats.
NOISE = (
    *("💡", "GPU available", "TPU available", "Loading `train_dataloader`", "Restoring states", "Loaded model w"),
    *("`Trainer(", "Seed set to", "[rank: ", "distributed_backend=", "Initializing distributed: "),
)
SAID_BY = [f"lightning_fabric.utilities.{name}" for name in ("rank_zero", "seed", "distributed")]
SAID_BY += ["pytorch_lightning.utilities.rank_zero"]
HANDLED_BY = ("pytorch_lightning", "lightning_fabric")  # the loggers with handlers that write to stderr
HUB = "huggingface_hub"
LOADING = "transformers.modeling_utils"


class CurrentStderr(io.TextIOBase):
    """`sys.stderr` at the time of writing, which a progress bar replaces so that the text stands above it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _handlers() -> list["logging.StreamHandler[TextIO]"]:
    handlers = (handler for name in HANDLED_BY for handler in logging.getLogger(name).handlers)
    return [handler for handler in handlers if type(handler) is logging.StreamHandler]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Warnings of one line, and none that does not concern our users; at the end all is as it was."""
    loggers = {name: logging.getLogger(name) for name in (*SAID_BY, LOADING, HUB)}
    filters = {name: logger.filters[:] for name, logger in loggers.items()}
    level, streams = loggers[HUB].level, {handler: handler.stream for handler in _handlers()}
    formatting, hook = warnings.formatwarning, threading.excepthook
    bars = transformers_logging.is_progress_bar_enabled(), not datasets.are_progress_bars_disabled()
    try:
        with warnings.catch_warnings():
            _quieten()
            yield
    finally:
        for name, logger in loggers.items():
            logger.filters[:] = filters[name]
        loggers[HUB].setLevel(level)
        for handler, stream in streams.items():
            handler.setStream(stream)
        warnings.formatwarning, threading.excepthook = formatting, hook
        if bars[0]:
            transformers_logging.enable_progress_bar()
        if bars[1]:
            datasets.enable_progress_bars()


def _quieten() -> None:
    warnings.formatwarning = lambda message, *_, **__: f"warning: {' '.join(str(message).split())}\n"
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # batches are only padded, in microseconds
    warnings.filterwarnings("ignore", ".*Couldn't infer the batch indices.*")  # BatchIndices does
    warnings.filterwarnings("ignore", ".*monitor='val/score'.* could not find.*")  # no validation has run yet
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")  # gathered before it is computed
    warnings.filterwarnings("ignore", ".*Grad strides do not match.*")  # of vectors as matrices: nothing to gain
    warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated.*")
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")  # a resumed run's
    warnings.filterwarnings("ignore", ".*The dirpath has changed from.*")  # BestCheckpoint knows better
    if not is_first_process():  # it warns for all
        warnings.simplefilter("ignore")
    for name in SAID_BY:
        logging.getLogger(name).addFilter(lambda record: not record.getMessage().lstrip("-\n").startswith(NOISE))
    for handler in _handlers():
        handler.setStream(CurrentStderr())  # type: ignore[arg-type]  # it only writes and flushes
    logging.getLogger(HUB).setLevel(logging.ERROR)  # its retries; the last word is ours
    transformers_logging.disable_progress_bar()
    loading = logging.getLogger(LOADING)  # its table of weights that do not fit: ours is a line
    loading.addFilter(lambda record: "LOAD REPORT" not in record.getMessage())
    threading.excepthook = _thread_failed
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()


def _thread_failed(told: threading.ExceptHookArgs) -> None:
    """A logger's thread whose disk is full or gone leaves it to the main thread, which stumbles over the same."""
    if not isinstance(told.exc_value, OSError):
        threading.__excepthook__(told)
