"""Prompt tuning (Lester et al., 2021): a few trainable vectors before the input."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import d_model, prepend
from lit_compacter.errors import UserError
from lit_compacter.methods.base import Method

RANGE = 0.5  # of the uniform distribution of a random prompt, as in the paper's code
NUM_COMMON = 5000  # tokens to choose from; the most common come first in the vocabulary
MAX_LENGTH = 512  # tokens, as in T5's pretraining


@dataclass
class PromptTuning(Method):
    """Train P vectors (P · d_model parameters) that are prepended to the encoder's embedded input."""

    length: int = 100
    """P, the number of vectors."""
    init: Literal["random", "tokens"] = "random"
    """random: uniform in ±0.5. tokens: pretrained embeddings of tokens drawn from the 5,000 most common."""

    def check(self, skeleton: T5ForConditionalGeneration) -> None:
        self.apply(skeleton)

    def reads_weights(self) -> bool:
        return self.init == "tokens"

    def inject(self, model: T5ForConditionalGeneration) -> None:
        if not 1 <= self.length <= MAX_LENGTH:
            raise UserError(f"model.method.length is {self.length}; expected 1 to {MAX_LENGTH} vectors")
        prepend(model, nn.Parameter(self.vectors(model)))

    def vectors(self, model: T5ForConditionalGeneration) -> torch.Tensor:
        """The initial prompt, (P, d_model)."""
        if self.init == "random":
            return torch.empty(self.length, d_model(model)).uniform_(-RANGE, RANGE)
        embeddings = model.get_input_embeddings().weight
        common = min(NUM_COMMON, len(embeddings))
        if self.length > common:
            raise UserError(f"model.method.length is {self.length}; expected 1 to {common}, the tokens to begin with")
        return embeddings[torch.randperm(common)[: self.length]].detach().clone()

    def summary_group(self, name: str) -> str:
        return "prompt"
