"""Dropout that draws its random numbers faster on CPUs, alone and after ReLU."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_compacter.layers.eager_cpu import is_eager_cpu

VALUES = 2**16  # of a 16-bit integer


class Dropout(nn.Dropout):
    """As torch's Dropout; see `dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)


class ReLUDropout(nn.Dropout):
    """Dropout of ReLU(x). It keeps a byte per element for the backward pass; two modules would keep a float as well."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.p) or torch.compiler.is_compiling():
            return F.dropout(F.relu(x), self.p, self.training)
        y: Tensor = _ReLUDropout.apply(x, self.p)
        return y


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """Set each element of x to 0 with probability p and divide the others by 1 − p.

    On CPUs, torch draws a 64-bit random number for each element, in one thread. Here four elements share one, and p is
    rounded to a multiple of 2⁻¹⁶.
    """
    if not (training and p):
        return x
    if not is_eager_cpu(x):
        return F.dropout(x, p)
    y: Tensor = _Dropout.apply(x, p)
    return y


def dropout_mask(x: Tensor, p: float) -> Tensor:
    """Bytes of the shape of x: 0 with probability p, otherwise 1."""
    keep = random_int16(x.numel()).view(x.shape).ge_(round(p * VALUES) - VALUES // 2)
    return keep.to(torch.uint8)  # products with bytes are faster than with bools


@torch.library.custom_op("lit_compacter::random_int16", mutates_args=())
def random_int16(count: int) -> Tensor:
    """Uniform 16-bit integers of numpy's generator SFC64, with a seed that torch draws.

    A custom operation, because fake tensors cannot go through numpy.
    """
    seed = torch.randint(2**63 - 1, (1,)).numpy()
    numbers = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.int16)  # type: ignore[union-attr]
    return torch.from_numpy(numbers[:count])


@random_int16.register_fake
def _(count: int) -> Tensor:
    return torch.empty(count, dtype=torch.int16)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        keep, ctx.scale = dropout_mask(x, p), 1 / (1 - p)
        ctx.save_for_backward(keep)
        return (x * keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return (dy * keep).mul_(ctx.scale), None


class _ReLUDropout(_Dropout):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        y, ctx.scale = dropout(F.relu(x), p), 1 / (1 - p)
        ctx.save_for_backward(y.bool().view(torch.uint8))  # 0 where dropped or negative
        return y
