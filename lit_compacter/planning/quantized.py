"""Quantized linear layers without the library that quantizes: their sizes, and the temporary tensors of a product."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import named_linears
from lit_compacter.layers import QuantizedLinear
from lit_compacter.layers.quantized import BLOCK_SIZE, Quantization


def quantize_linears(model: T5ForConditionalGeneration, quantization: Quantization) -> None:
    """As `backbones.quantization.quantize_linears`, for a model of fake tensors."""
    for name, linear in list(named_linears(model)):
        model.set_submodule(name, PlannedLinear(linear, quantization))


class PlannedLinear(QuantizedLinear):
    """A QuantizedLinear whose tensors have the right sizes and no values."""

    def __init__(self, linear: nn.Linear, quantization: Quantization) -> None:
        nn.Linear.__init__(self, linear.in_features, linear.out_features, bias=False, device="meta")
        self.quantization = quantization
        count = linear.weight.numel()
        if quantization == "8bit":
            weight, scale = torch.empty_like(linear.weight, dtype=torch.int8), torch.empty(linear.out_features)
        else:
            weight, scale = torch.empty(count // 2, 1, dtype=torch.uint8), torch.empty(count // BLOCK_SIZE)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        y: Tensor = _Product.apply(x, self.weight, self.out_features)
        return y


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, out_features: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape = (out_features, x.shape[-1])
        return F.linear(x, expand(weight, ctx.shape, x.dtype))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return dy @ expand(weight, ctx.shape, dy.dtype), None, None


def expand(weight: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """A weight as large as the expanded one; int8 passes through float32."""
    if weight.dtype == torch.int8:
        return (weight.float() * 1.0).to(dtype)
    return torch.empty(shape, dtype=dtype)
