"""Restore the process state that a run changes."""

import contextlib
import os
import sys
from collections.abc import Iterator

import torch
from pytorch_lightning.utilities.seed import isolate_rng


@contextlib.contextmanager
def restore_process_state() -> Iterator[None]:
    """Restore environment variables, sys.argv, sys.path, random generators and torch's switches at the end.

    Lightning keeps the addresses and ranks of a run's processes in environment variables, and the process group open.
    A later run in the same process would mistake itself for one of those processes and wait for the others.
    """
    environment, argv, path = os.environ.copy(), sys.argv, sys.path[:]
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    had_process_group = torch.distributed.is_initialized()
    try:
        with isolate_rng():
            yield
    finally:
        if torch.distributed.is_initialized() and not had_process_group:
            torch.distributed.destroy_process_group()
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = benchmark
        sys.argv, sys.path[:] = argv, path
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
