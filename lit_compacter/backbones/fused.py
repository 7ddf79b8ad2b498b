"""Faster versions of a stock T5's layer norms, ReLU, dropout and attention, with the same values."""

from typing import Any

import transformers
from packaging.version import Version
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, T5ForConditionalGeneration
from transformers.masking_utils import eager_mask

from lit_compacter.backbones.t5 import merge_relu_and_dropout, named_layer_norms
from lit_compacter.layers import Dropout, ReLUDropout, RMSNorm, biased_attention
from lit_compacter.layers.eager_cpu import is_eager_cpu

ATTENTION = "lit_compacter"  # its name in transformers


def fuse(model: T5ForConditionalGeneration) -> None:
    """Replace layer norms, ReLU, dropout and attention in place. No tensor is renamed or changed."""
    merge_relu_and_dropout(model, ReLUDropout)
    norms = {norm for _, norm in named_layer_norms(model)}
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if child in norms:
                setattr(module, name, RMSNorm(child.weight, child.variance_epsilon))  # type: ignore[arg-type]
            elif type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
    if Version(transformers.__version__) >= Version("5.15"):  # before, T5's attention cannot be replaced
        AttentionInterface.register(ATTENTION, attention)
        AttentionMaskInterface.register(ATTENTION, additive_mask)
        model.set_attn_implementation(ATTENTION)


def additive_mask(*args: Any, **options: Any) -> Tensor | None:
    """Return transformers' mask of numbers, without its check whether anything is masked, for which the host waits."""
    return eager_mask(*args, **options | {"allow_is_bidirectional_skip": False})  # type: ignore[no-any-return]


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    position_bias: Tensor,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """T5's attention for transformers' AttentionInterface: on CPUs `biased_attention`, elsewhere torch's fused kernels.

    Args:
        module: The attention layer.
        query: Q, (B, heads, S, d).
        key: K, (B, heads, T, d).
        value: V, (B, heads, T, d).
        attention_mask: The lowest number of its type where masked, else 0; (B, 1, S, T). None if nothing is masked.
        position_bias: (1, heads, S, T).
        dropout: Probability to drop a weight.
        **options: For torch's kernels.

    Returns:
        The output, (B, S, heads, d), and None in place of the weights.
    """
    if not is_eager_cpu(query):
        options |= {"position_bias": position_bias, "dropout": dropout}
        return AttentionInterface()["sdpa"](module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    output = biased_attention(query, key, value, position_bias, attention_mask, dropout)
    return output.transpose(1, 2).contiguous(), None
