"""Restore the process state that a run changes, and speed up imports. This module has no slow imports."""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def restore_process_state() -> Iterator[None]:
    """Restore environment variables, sys.argv and sys.path at the end.

    Lightning keeps the addresses and ranks of a run's processes in environment variables. A later run in the same
    process would mistake itself for one of those processes and wait for the others.
    """
    environment, argv, path = os.environ.copy(), sys.argv, sys.path[:]
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)


@contextlib.contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """For imports: collect no garbage among the objects that they create, now or later.

    These are a million objects that stay until the process ends. Searching them for garbage takes a sixth of the time
    to import PyTorch, Lightning and Transformers.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
