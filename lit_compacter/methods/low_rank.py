"""Adapter-LowRank: adapters with low-rank linear layers (the paper's baseline, section 5.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import d_model
from lit_compacter.errors import UserError
from lit_compacter.layers import LowRankLinear
from lit_compacter.methods.adapter import Adapter


@dataclass
class LowRankAdapter(Adapter):
    """Adapters whose linear layers are y = x U V + b: 4Lr(k + d) weights over L blocks."""

    rank: int = 1
    """r, the rank of each linear layer."""

    def linear_factory(self, model: T5ForConditionalGeneration) -> Callable[[int, int], nn.Module]:
        full = self.bottleneck(d_model(model))
        if not 1 <= self.rank <= full:
            raise UserError(f"model.method.rank is {self.rank}; expected 1 to {full}, the bottleneck")
        return partial(LowRankLinear, rank=self.rank)
