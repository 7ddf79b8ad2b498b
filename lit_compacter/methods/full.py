"""Full fine-tuning, the paper's upper baseline."""

from dataclasses import dataclass

from transformers import T5ForConditionalGeneration

from lit_compacter.methods.base import Method


@dataclass
class FullFineTuning(Method):
    """Train every tensor of the backbone."""

    def inject(self, model: T5ForConditionalGeneration) -> None:
        model.requires_grad_(True)

    def obstacle_to_quantization(self) -> str:
        return "trains all weights"
