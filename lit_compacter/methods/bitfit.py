"""BitFit (Ben Zaken et al., 2021): biases alone."""

from dataclasses import dataclass

from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import add_biases
from lit_compacter.methods.base import Method


@dataclass
class BitFit(Method):
    """Train a bias for every linear layer and every layer norm in a block. T5 has no biases; the new ones start at 0.

    The output layer also gets one, of the vocabulary's size; the final norms of the stacks get none. For v1.0 with L
    blocks, half of them in each stack, model dimension k, feed-forward f and vocabulary v: (19/2)Lk + Lf + v.
    """

    def inject(self, model: T5ForConditionalGeneration) -> None:
        add_biases(model)

    def obstacle_to_quantization(self) -> str:
        return "adds biases to the layers that are quantized"

    def summary_group(self, name: str) -> str:
        return "biases"
