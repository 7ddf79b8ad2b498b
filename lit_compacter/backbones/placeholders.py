"""Tensors in the memory of one value: a model of them can be changed by a method before its weights are read."""

import torch
from torch import Tensor, nn


def placeholder(shape: torch.Size, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor of NaN, so that whatever is computed from it can be recognized. It cannot be written to."""
    return torch.full((), torch.nan, dtype=dtype).expand(shape)


def is_placeholder(tensor: Tensor) -> bool:
    """Whether a tensor on the CPU has less memory than its values need."""
    return tensor.untyped_storage().nbytes() < tensor.nbytes


def cast(parameter: nn.Parameter, dtype: torch.dtype) -> None:
    """Change the type of a parameter in place. A placeholder stays one."""
    if is_placeholder(parameter):
        parameter.data = placeholder(parameter.shape, dtype)
    else:
        parameter.data = parameter.data.to(dtype)
