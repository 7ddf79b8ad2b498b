"""Restore the state of torch that a run changes."""

import contextlib
from collections.abc import Iterator

import torch
from pytorch_lightning.utilities.seed import isolate_rng


@contextlib.contextmanager
def restore_torch_state() -> Iterator[None]:
    """Restore the random generators and torch's switches at the end, and close the process group that a run opened."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    had_process_group = torch.distributed.is_initialized()
    try:
        with isolate_rng():
            yield
    finally:
        if torch.distributed.is_initialized() and not had_process_group:
            torch.distributed.destroy_process_group()
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
