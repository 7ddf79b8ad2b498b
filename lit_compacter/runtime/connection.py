"""The processes of a run must be alike, and one that loses the others says so in one line."""

import contextlib
import traceback
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, distributed
from torch.distributed import GradBucket  # type: ignore[attr-defined]
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from lit_compacter.errors import LostConnection, UserError
from lit_compacter.runtime.environment import versions

T = TypeVar("T")


class Connection(Callback):
    """Compares the versions of all processes, and notices when gradients cannot be exchanged."""

    def __init__(self) -> None:
        self.has_failed = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse other versions on another host, which may compute another model.

        Raises:
            UserError: The versions differ; every process raises it.
        """
        found = gather(versions())
        for rank, other in enumerate(found):
            names = [name for name in found[0] | other if found[0].get(name) != other.get(name)]
            if names:
                here, there = (
                    ", ".join(f"{name} {side.get(name, 'absent')}" for name in names) for side in (found[0], other)
                )
                raise UserError(f"rank 0 has {here}, and rank {rank} {there}; install the same versions on all hosts")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # gloo raises a plain RuntimeError, as many other errors of a backward pass are.
        model = trainer.strategy.model
        if isinstance(model, DistributedDataParallel) and distributed.get_backend() == "gloo":
            model.register_comm_hook(None, self._average)

    def _average(self, state: Any, bucket: GradBucket) -> Future[Tensor]:
        """As DistributedDataParallel does it without a hook."""
        assert distributed.group.WORLD is not None
        future = allreduce_hook(distributed.group.WORLD, bucket)
        future.add_done_callback(self._note_failure)
        return future

    def _note_failure(self, future: Future[Tensor]) -> None:
        try:
            future.value()
        except RuntimeError:
            self.has_failed = True

    def is_cause(self, error: RuntimeError) -> bool:
        """Whether the error comes from a communication. A sharded backbone also allocates memory in torch's modules."""
        if isinstance(error, torch.OutOfMemoryError):
            return False
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        in_torch = str(frame.f_globals["__name__"]).startswith(distributed.__name__)
        return self.has_failed or in_torch or isinstance(error, distributed.DistError)


def gather(value: T) -> list[T]:
    """The values of all processes, by rank. Every process must call it, and all get the same list."""
    if not distributed.is_initialized():
        return [value]
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, value)
    return found


@contextlib.contextmanager
def translate_lost_connections(trainer: Trainer) -> Iterator[None]:
    """Raise LostConnection when another process cannot be reached, with what callbacks have added to the error."""
    try:
        yield
    except RuntimeError as error:
        connection = next(callback for callback in trainer.callbacks if isinstance(callback, Connection))  # type: ignore[attr-defined]
        if not connection.is_cause(error):
            raise
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        raise LostConnection(
            f"rank {trainer.global_rank} cannot reach another process: it has ended (its last line says why), its host "
            f"or the network is down, or it did not answer within the timeout of trainer.strategy{notes}"
        ) from error
