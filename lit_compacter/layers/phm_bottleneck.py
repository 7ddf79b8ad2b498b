"""The bottleneck adapter of two PHM layers, as a single function for autograd."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from lit_compacter.layers.bottleneck import Bottleneck, NonLinearity
from lit_compacter.layers.phm import PHMLinear


class PHMBottleneck(Bottleneck):
    """A(x) = x + up(f(down(x))) with PHM layers: the same function as Bottleneck in fewer passes over memory.

    With factored products, an adapter takes more time to read and write its vectors than to compute them.

    Args:
        down: As in Bottleneck.
        up: As in Bottleneck.
        non_linearity: f.
    """

    down: PHMLinear
    up: PHMLinear

    def __init__(self, down: PHMLinear, up: PHMLinear, non_linearity: NonLinearity = "gelu_new") -> None:
        super().__init__(down, up, non_linearity)

    def forward(self, x: Tensor) -> Tensor:
        down, up = self.down, self.up
        narrows = down.in_features >= down.out_features and up.in_features < up.out_features
        if not (narrows and down.use_factored_matmul and up.use_factored_matmul):
            return super().forward(x)
        factors = *down.factors(), down.bias, *up.factors(), up.bias
        # For few tokens, as in decoding, the call through autograd takes half of the time.
        compute = FactoredBottleneck.apply if torch.is_grad_enabled() else FactoredBottleneck.forward
        with torch.autocast(x.device.type, enabled=False):  # everything in the type of x
            tensors = (factor.to(x.dtype) for factor in factors)
            y, *_ = compute(self.activation, x.flatten(0, -2), *tensors)
        return y.view(x.shape)  # (..., k)


class FactoredBottleneck(torch.autograd.Function):
    """x + up(f(down(x))) for N vectors x, (N, k), with the factors of PHMLinear.

    The product of each wide factor is added to x, and its gradient to that of x, in place.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        f: Callable[[Tensor], Tensor], x: Tensor, s: Tensor, v: Tensor, b: Tensor, u: Tensor, t: Tensor, c: Tensor
    ) -> tuple[Tensor, ...]:
        z = (x.reshape(-1, len(s)) @ s).view(len(x), -1)  # (N, n²r)
        h = torch.addmm(b, z, v)  # (N, d)
        w = f(h) @ u  # (N, n²r)
        y = x + c  # (N, k)
        y.view(-1, t.shape[1]).addmm_(w.view(-1, len(t)), t)
        return y, z, h, w

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.f, x, s, v, _, u, t, _ = inputs
        _, z, h, w = output
        ctx.mark_non_differentiable(z, h, w)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, s, v, u, t, z, h, w)

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, s, v, u, t, z, h, w = ctx.saved_tensors
        parts = dy.reshape(-1, t.shape[1])  # (N·n, k/n)
        dw = (parts @ t.t()).view(len(x), -1)
        with forward_ad.dual_level():  # f acts on each element, so its derivative is the same forward and backward
            a, dh = forward_ad.unpack_dual(ctx.f(forward_ad.make_dual(h, dw @ u.t())))
        dz = (dh @ v.t()).view(-1, s.shape[1])
        dx = torch.addmm(parts, dz, s.t()).view(x.shape)
        ds = (dz.t() @ x.reshape(-1, len(s))).t()
        return None, dx, ds, z.t() @ dh, dh.sum(0), a.t() @ dw, w.view(-1, len(t)).t() @ parts, dy.sum(0)
