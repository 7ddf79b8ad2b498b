"""Unavoidable private APIs of other libraries, with the reason, the version and a test (tests/test_compat.py)."""

from collections.abc import Iterable

from torch import nn
from torch.nn.parallel import DistributedDataParallel


def ignore_in_ddp(module: nn.Module, names: Iterable[str]) -> None:
    """Make DistributedDataParallel neither broadcast nor reduce the named parameters and buffers of `module`.

    torch 2.13 has no public API: `init_sync` and `broadcast_buffers` are all or nothing, and broadcasting the frozen
    backbone of T5-11B sends 44 GB to every process, each of which has already built the same tensors.
    """
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, list(names))
