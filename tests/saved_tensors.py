"""What a function keeps for the backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor


def saved_bytes(run: Callable[[], object]) -> int:
    """Bytes of the tensors that autograd keeps during `run`; one that it keeps several times counts once."""
    sizes: dict[int, int] = {}
    held: list[Tensor] = []  # so that no address is used again

    def note(tensor: Tensor) -> Tensor:
        held.append(tensor)
        sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        run()
    return sum(sizes.values())
