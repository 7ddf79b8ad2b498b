"""What other libraries say and our users need not read."""

import logging
import sys
import warnings

import datasets
from transformers.utils import logging as transformers_logging


def quieten() -> None:
    """Warnings of one line, and none that does not concern our users."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # batches are only padded, in microseconds
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")  # gathered before it is computed
    warnings.filterwarnings("ignore", ".*Grad strides do not match.*")  # of vectors as matrices: nothing to gain
    warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated.*")
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")  # a resumed run's
    noise = ("💡", "GPU available", "TPU available", "Loading `train_dataloader`", "Restoring states", "Loaded model w")
    told = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    told.addFilter(lambda record: not record.getMessage().startswith(noise))
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries; the last word is ours
    transformers_logging.disable_progress_bar()
    loading = logging.getLogger("transformers.modeling_utils")  # its table of weights that do not fit: ours is a line
    loading.addFilter(lambda record: "LOAD REPORT" not in record.getMessage())
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
