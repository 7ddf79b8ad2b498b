"""The user's own loggers: placeholders in their options, and the end of their runs."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from jsonargparse import Namespace
from pytorch_lightning.loggers import CometLogger, Logger, WandbLogger


def fill_placeholders(value: Any, places: Mapping[str, str]) -> Any:
    """Replace placeholders in all strings of an option's value.

    Args:
        value: The value, with classes as their paths and options.
        places: Placeholder → the text in its place.
    """
    if isinstance(value, str):
        for placeholder, text in places.items():
            value = value.replace(placeholder, text)
        return value
    if isinstance(value, Namespace):
        return Namespace({name: fill_placeholders(inner, places) for name, inner in vars(value).items()})
    if isinstance(value, dict):
        return {name: fill_placeholders(inner, places) for name, inner in value.items()}
    if isinstance(value, list):
        return [fill_placeholders(inner, places) for inner in value]
    return value


@contextlib.contextmanager
def end_runs(loggers: Sequence[Logger]) -> Iterator[None]:
    """End the runs of W&B and Comet at the end of the context. Lightning leaves them open.

    Both libraries would add the next run of this process to a run that is open. A run of W&B that was open before, such
    as a sweep's, is left open.
    """
    wandb = import_module("wandb") if any(isinstance(logger, WandbLogger) for logger in loggers) else None
    was_open = wandb is not None and wandb.run is not None
    exit_code = 1
    try:
        yield
        exit_code = 0
    finally:
        if wandb is not None and wandb.run is not None and not was_open:
            wandb.finish(exit_code)
        for logger in loggers:
            if isinstance(logger, CometLogger):
                logger.experiment.end()
