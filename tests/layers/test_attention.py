"""Attention with dropout: its gradients, and what it keeps for them."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_compacter.layers import biased_attention
from lit_compacter.layers.dropout import dropout_mask
from tests.saved_tensors import saved_bytes

SHAPE = (2, 3, 4, 5)  # batch, heads, queries, d
KEYS = 6


def tensors(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Q, K, V and the position bias."""
    torch.manual_seed(0)
    batch, heads, queries, d = SHAPE
    shapes = SHAPE, (batch, heads, KEYS, d), (batch, heads, KEYS, d), (1, heads, queries, KEYS)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def mask(dtype: torch.dtype = torch.float64) -> Tensor:
    """The last two keys of the second example are padding."""
    mask = torch.zeros(2, 1, SHAPE[2], KEYS, dtype=dtype)
    mask[1, :, :, 4:] = torch.finfo(dtype).min
    return mask


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_is_softmax_dropout_and_product(p: float) -> None:
    q, k, v, bias = tensors()
    weights = F.softmax(q @ k.transpose(2, 3) + bias + mask(), dim=-1)
    if p:
        torch.manual_seed(1)
        weights = weights * dropout_mask(weights, p) / (1 - p)
    for needs_gradient in (True, False):
        torch.manual_seed(1)
        with torch.set_grad_enabled(needs_gradient):
            torch.testing.assert_close(biased_attention(q, k, v, bias, mask(), p), weights @ v)


def test_gradients() -> None:
    def with_one_mask(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        torch.manual_seed(1)
        return biased_attention(q, k, v, bias, mask(), 0.4)

    assert torch.autograd.gradcheck(with_one_mask, tensors())


def test_without_padding() -> None:
    q, k, v, bias = tensors()
    torch.manual_seed(1)
    output = biased_attention(q, k, v, bias, None, 0.4)
    torch.manual_seed(1)
    torch.testing.assert_close(output, biased_attention(q, k, v, bias, torch.zeros_like(mask()), 0.4))


def test_keeps_the_softmax_once() -> None:
    q, k, v, bias = tensors(torch.float32)
    output: list[Tensor] = []
    kept = saved_bytes(lambda: output.append(biased_attention(q, k, v, bias, mask(torch.float32), 0.4)))
    elements = 2 * 3 * SHAPE[2] * KEYS
    assert kept == sum(4 * tensor.numel() for tensor in (q, k, v, output[0])) + 5 * elements
