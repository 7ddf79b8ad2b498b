"""Unavoidable private APIs of other libraries, with the reason, the version and a test (tests/test_compat.py)."""

from collections.abc import Iterable

from pytorch_lightning import Trainer
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def ignore_in_ddp(module: nn.Module, names: Iterable[str]) -> None:
    """Make DistributedDataParallel neither broadcast nor reduce the named parameters and buffers of `module`.

    torch 2.13 has no public API: `init_sync` and `broadcast_buffers` are all or nothing, and broadcasting the frozen
    backbone of T5-11B sends 44 GB to every process, each of which has already built the same tensors.
    """
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, list(names))


def skip_sigterm_broadcast(trainer: Trainer) -> None:
    """Make the training loop not ask rank 0 before each batch whether it has received SIGTERM.

    Lightning 2.6 has no option for it. The answer is always no, because `StopTogether` and `LastCheckpoint` replace its
    handler, and on a slow link the question takes as long as the gradients of an adapter.
    """
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
