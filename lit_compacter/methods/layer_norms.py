"""Layer norms alone: what the adapter family trains besides its adapters, so the floor to compare them with."""

from dataclasses import dataclass

from transformers import T5ForConditionalGeneration

from lit_compacter.methods.base import Method
from lit_compacter.t5 import layer_norms


@dataclass
class LayerNorms(Method):
    """Train the scale of every layer norm, (2 + 3) d_model per pair of encoder and decoder blocks, and nothing else."""

    def inject(self, model: T5ForConditionalGeneration) -> None:
        for norm in layer_norms(model):
            norm.requires_grad_(True)
