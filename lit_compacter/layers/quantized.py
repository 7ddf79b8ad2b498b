"""A frozen linear layer whose weight is held in 8 or 4 bits."""

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Quantization: TypeAlias = Literal["8bit", "nf4"]
BLOCK_SIZE = 64  # weights that share a scale in nf4, as in QLoRA


class QuantizedLinear(nn.Linear):
    """y = x Q(W)ᵀ, for a frozen W of which only the quantized Q(W) is kept.

    Q(W) is expanded for each product, in the forward and in the backward pass, to the precision of x, or of autocast.
    The layers of bitsandbytes are not used: on CPUs with AVX512-BF16, evaluation makes its nf4 layer repack the weight
    in place with coarser scales, after which no gradient passes it; and its 8-bit layer rounds x too.

    Args:
        linear: The layer that is replaced, without bias.
        quantization: 8bit is a scale for each row and int8 (LLM.int8); nf4 is a scale for each 64 weights and 4-bit
            quantiles of the normal distribution (QLoRA).
    """

    scale: Tensor

    def __init__(self, linear: nn.Linear, quantization: Quantization) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.quantization = quantization
        weight, scale = quantize(linear.weight.detach(), quantization)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("scale", scale)

    @property
    def num_weights(self) -> int:
        """The number of weights, two of which share an element of `weight` in nf4."""
        return self.in_features * self.out_features

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        y: Tensor = _Product.apply(x, self.weight, self.scale, self.quantization, self.out_features)
        return y


class _Product(torch.autograd.Function):
    """Saves the quantized weight for the backward pass, not the expanded one."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, scale: Tensor, quantization: Quantization, out_features: int) -> Tensor:
        return F.linear(x, dequantize(weight, scale, quantization, (out_features, x.shape[-1]), x.dtype))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, scale, ctx.quantization, out_features = inputs
        ctx.shape = (out_features, x.shape[-1])
        ctx.save_for_backward(weight, scale)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        weight, scale = ctx.saved_tensors
        return dy @ dequantize(weight, scale, ctx.quantization, ctx.shape, dy.dtype), None, None, None, None


def quantize(weight: Tensor, quantization: Quantization) -> tuple[Tensor, Tensor]:
    """Q(W) as integers, and its scales."""
    from bitsandbytes import functional  # optional

    if quantization == "8bit":
        integers, scale, _ = functional.int8_vectorwise_quant(weight.half())
        return integers, scale
    packed, state = functional.quantize_4bit(weight, blocksize=BLOCK_SIZE, quant_type="nf4")
    return packed, state.absmax


def dequantize(
    weight: Tensor, scale: Tensor, quantization: Quantization, shape: tuple[int, int], dtype: torch.dtype
) -> Tensor:
    """Q(W), (out_features, in_features), in another precision."""
    from bitsandbytes import functional

    if quantization == "8bit":
        return functional.int8_vectorwise_dequant(weight, scale).to(dtype)
    state = functional.QuantState(scale, torch.Size(shape), blocksize=BLOCK_SIZE, quant_type="nf4", dtype=dtype)
    return functional.dequantize_4bit(weight, state)
