"""What other libraries say and our users need not read."""

import contextlib
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import TextIO

import datasets
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from transformers.utils import logging as transformers_logging

from lit_compacter.processes import is_first_process

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
def unchanged_process() -> Iterator[None]:
    """Take back, at the end, what a run changes in its process, so that the next one begins as the first did.

    Lightning keeps the addresses and the numbers of a run's processes in environment variables, and the process group
    open; a later run would take itself for one of those processes, and wait for the others.
    """
    environment, argv, path = os.environ.copy(), sys.argv, sys.path[:]
    hook, formatting = threading.excepthook, warnings.formatwarning
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    grouped = torch.distributed.is_initialized()
    filters = {name: logging.getLogger(name).filters[:] for name in (*SAID_BY, LOADING)}
    levels = logging.getLogger(HUB).level
    streams = {handler: handler.stream for handler in _handlers()}
    try:
        with warnings.catch_warnings(), isolate_rng():
            yield
    finally:
        if torch.distributed.is_initialized() and not grouped:
            torch.distributed.destroy_process_group()
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = benchmark
        sys.argv, sys.path[:] = argv, path
        threading.excepthook, warnings.formatwarning = hook, formatting
        for name, kept in filters.items():
            logging.getLogger(name).filters[:] = kept
        logging.getLogger(HUB).setLevel(levels)
        for handler, stream in streams.items():
            handler.setStream(stream)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)


def quieten() -> None:
    """Warnings of one line, and none that does not concern our users."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {' '.join(str(message).split())}\n"
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # batches are only padded, in microseconds
    warnings.filterwarnings("ignore", ".*provide both args and command line arguments.*")  # `main` keeps them the same
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
