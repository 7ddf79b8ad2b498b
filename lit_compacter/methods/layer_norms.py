"""Train only the layer norms, which all adapter methods train too: a baseline for them."""

from dataclasses import dataclass

from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import named_layer_norms
from lit_compacter.methods.base import Method


@dataclass
class LayerNorms(Method):
    """Train only the scale of every layer norm: (5/2)Lk + 2k over L blocks, half of them in each stack."""

    def inject(self, model: T5ForConditionalGeneration) -> None:
        for _, norm in named_layer_norms(model):
            norm.requires_grad_(True)
