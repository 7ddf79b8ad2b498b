"""What the processes of a run tell each other at each training step."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class StepTotals(nn.Module):
    """Sums over the micro-batches and processes of a step, which are communicated as a gradient.

    A strategy averages the gradients of all parameters over the processes at once. One more communication for the loss
    and the number of target tokens would cost a round trip at each step, and on a slow link more than the gradients. So
    this module has a parameter that nothing reads and no optimizer trains, with these sums as its gradient.

    Attributes:
        told_to_stop: Whether this process was told to stop. All processes know it after the step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.carrier = nn.Parameter(torch.zeros(3))
        self.told_to_stop = False
        self._stops = torch.zeros(())

    def reset(self) -> None:
        """Forget a step that was not finished."""
        self.carrier.grad = None

    def attach(self, loss: Tensor, num_tokens: Tensor) -> Tensor:
        """Return the loss. Its backward pass adds the loss and the number of tokens to the sums, whatever scales it.

        Args:
            loss: The sum over a micro-batch's target tokens.
            num_tokens: Their number.
        """
        values = torch.stack([loss.detach(), num_tokens, loss.new_full((), self.told_to_stop)])
        return _Carry.apply(loss, self.carrier, values)

    def take(self) -> tuple[Tensor, Tensor]:
        """The sums of loss and tokens since the last call, each divided by the number of processes."""
        assert self.carrier.grad is not None
        loss, num_tokens, self._stops = self.carrier.grad
        self.carrier.grad = None
        return loss, num_tokens

    @property
    def any_told_to_stop(self) -> bool:
        """Whether any process was told to stop before its last backward pass; all get the same answer."""
        return bool(self._stops)


class _Carry(torch.autograd.Function):
    """Return the loss; the gradient of `carrier` is `values`, not scaled by the gradient of the loss."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, carrier: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        return gradient, ctx.saved_tensors[0], None
