"""T5's layer norm."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_compacter.layers.eager_cpu import is_eager_cpu


class RMSNorm(nn.Module):
    """y = w x / √(mean(x²) + ε), T5's layer norm, in few passes over memory.

    torch has one kernel for it on GPUs; on CPUs, its operations would each read and write all of x. Under autocast, y
    has the lower precision, in which the linear layers that follow read it.

    Args:
        weight: w, (k,).
        eps: ε.
    """

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight = weight
        self.variance_epsilon = eps  # named as in transformers

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        if is_eager_cpu(x):
            # For few tokens, the call through autograd takes half of the time.
            compute = _RMSNorm.apply if torch.is_grad_enabled() else _RMSNorm.forward
            y, _ = compute(x, self.weight, self.variance_epsilon)
        else:
            y = F.rms_norm(x, self.weight.shape, self.weight, self.variance_epsilon)
        if torch.is_autocast_enabled(x.device.type):
            y = y.to(torch.get_autocast_dtype(x.device.type))
        return y


class _RMSNorm(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square().div(x.shape[-1]).add(eps).rsqrt()  # ρ = 1 / √(mean(x²) + ε), (…, 1)
        return (x * scale).mul_(weight), scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, weight, _ = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, weight, output[1])

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        # dw = Σ ρ x dy, a sum over vectors; dx = ρ (w dy − ρ² x mean(x w dy)), a mean over the last dimension
        x, weight, scale = ctx.saved_tensors
        product = (x * dy).flatten(0, -2)  # (N, k)
        dw = scale.flatten() @ product if ctx.needs_input_grad[1] else None
        mean = (product @ weight).view(scale.shape) / x.shape[-1]
        return (dy * weight).mul_(scale).addcmul_(x, -mean * scale**3), dw, None
