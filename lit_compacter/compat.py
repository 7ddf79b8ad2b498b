"""Unavoidable private APIs of other libraries, with the reason, the version and a test (tests/test_compat.py)."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from pytorch_lightning import Trainer
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode


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


def fake_tensors() -> AbstractContextManager[Any]:
    """Tensors that are made in this context have shapes, types and a device, and no memory, and so have their products.

    Unlike on torch's meta device, autocast casts them, and what the code does only on CPUs is done. torch 2.13
    documents fake tensors, but has no public name for them.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode  # here, because it imports the compiler

    return FakeTensorMode()


class OperationHook(TorchDispatchMode):
    """While it is active, `after` gets the result of each operation, also of the backward pass.

    torch 2.13 describes these modes in "Extending PyTorch", but has no public name for them.
    """

    def after(self, result: Any) -> None:
        raise NotImplementedError

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.after(result)
        return result
