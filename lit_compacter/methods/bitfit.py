"""BitFit (Ben Zaken et al., 2021): biases alone."""

from dataclasses import dataclass

from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import add_biases
from lit_compacter.methods.base import Method


@dataclass
class BitFit(Method):
    """Train a bias for every linear map and for every layer norm in a block; T5 has none of its own, they start at 0.

    The output layer has one too, of as many numbers as the vocabulary has; the stacks' final norms have none. In a
    v1.0 of L blocks, half of them in each stack, width k, feed-forward f and vocabulary v: (19/2)Lk + Lf + v.
    """

    def inject(self, model: T5ForConditionalGeneration) -> None:
        add_biases(model)

    def summary_group(self, name: str) -> str:
        return "biases"
