"""Attention with a position bias, as a single function for autograd."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lit_compacter.layers.dropout import dropout_mask


def biased_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, dropout: float = 0.0
) -> Tensor:
    """O = dropout(P) V with the weights P = softmax(Q Kᵀ + bias + mask). Q Kᵀ is not scaled.

    For the backward pass, autograd would keep both P and dropout(P), which grow with the square of the length. This
    keeps P and a byte for each of its elements. Without gradients and dropout, it is torch's fused kernel.

    Args:
        q: Q, (B, heads, S, d).
        k: K, (B, heads, T, d).
        v: V, (B, heads, T, d).
        bias: (1, heads, S, T).
        mask: The lowest number of its type where masked, else 0; (B, 1, S, T). None if nothing is masked.
        dropout: Probability to drop an element of P.

    Returns:
        O, (B, heads, S, d).
    """
    if dropout:
        output: Tensor = _BiasedAttention.apply(q, k, v, bias, mask, dropout)
        return output
    if torch.is_grad_enabled() or q.dtype != bias.dtype:  # torch's kernel would round the bias to the type of Q
        return attention_weights(q, k, bias, mask) @ v
    return F.scaled_dot_product_attention(q, k, v, bias if mask is None else bias + mask, scale=1.0)


def attention_weights(q: Tensor, k: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    """P = softmax(Q Kᵀ + bias + mask), (B, heads, S, T)."""
    scores = (q @ k.transpose(2, 3)).to(bias.dtype).add_(bias)
    return F.softmax(scores if mask is None else scores.add_(mask), dim=-1)


class _BiasedAttention(torch.autograd.Function):
    """With a matrix D of 0 and 1 and its scale c: O = c (D ∘ P) V.

    The gradient of P is D ∘ (c dO Vᵀ), and that of the scores is P ∘ (dP − rowsum(P ∘ dP)). The sum over a row of
    P ∘ dP is that over the row of O ∘ dO, which is shorter.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        p = attention_weights(q, k, bias, mask)
        keep, ctx.scale = dropout_mask(p, dropout), 1 / (1 - dropout)
        output = ((p * keep).to(v.dtype) @ v).mul_(ctx.scale)
        ctx.save_for_backward(q, k, v, p, keep, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, p, keep, output = ctx.saved_tensors
        for_q, for_k, for_v, for_bias, *_ = ctx.needs_input_grad
        dtype = torch.promote_types(p.dtype, torch.float32)
        row_sums = (dy.to(dtype) * output).sum(-1, keepdim=True)  # (B, heads, S, 1)
        dy = dy * ctx.scale
        dv = (p * keep).to(v.dtype).transpose(2, 3) @ dy if for_v else None
        ds = (dy @ v.transpose(2, 3)).to(dtype).mul_(keep).sub_(row_sums).mul_(p)  # (B, heads, S, T)
        dbias = ds.sum(0, keepdim=True) if for_bias else None
        ds = ds.to(q.dtype)
        return ds @ k if for_q else None, ds.transpose(2, 3) @ q if for_k else None, dv, dbias, None, None
