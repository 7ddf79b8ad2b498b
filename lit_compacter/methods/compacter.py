"""Compacter (Karimi Mahabadi et al., 2021): adapters of low-rank hypercomplex linears under one shared rule."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn
from transformers import T5ForConditionalGeneration

from lit_compacter.errors import UserError
from lit_compacter.layers import PHMLinear
from lit_compacter.layers.phm import new_rule
from lit_compacter.methods.adapter import Adapter
from lit_compacter.t5 import width

SHARED_RULE = "phm_rule"  # the one tensor {A_i}, at the top of the model


@dataclass
class Compacter(Adapter):
    """Adapters whose linears are y = x Σ_i A_i ⊗ (s_i t_iᵀ) + b, with one rule {A_i} for the whole model.

    4L(k + d) + n³ adapter weights over L blocks (at rank 1). Compacter++ is where=[feed_forward].
    """

    phm_dim: int = 4
    """n, the number of Kronecker terms; divides the model dimension and the bottleneck. The paper tries 4, 8 and 12."""
    rank: int = 1
    """r, the rank of each Kronecker factor B_i."""

    def linear_factory(self, model: T5ForConditionalGeneration) -> Callable[[int, int], nn.Module]:
        self.check(width(model))
        rule = new_rule(self.phm_dim)
        model.register_parameter(SHARED_RULE, rule)
        return partial(PHMLinear, phm_dim=self.phm_dim, rank=self.rank, rule=rule)

    def check(self, dim: int) -> None:
        """Raise UserError where the options do not fit a model of width `dim`."""
        bottleneck = self.bottleneck(dim)
        divisors = [n for n in range(1, bottleneck + 1) if dim % n == 0 and bottleneck % n == 0]
        if self.phm_dim not in divisors:
            raise UserError(
                f"model.method.phm_dim {self.phm_dim} does not divide both the model dimension {dim} and the "
                f"bottleneck {bottleneck} (= {dim} / reduction {self.reduction}); "
                f"choose one of {', '.join(map(str, divisors))}"
            )
        if self.rank < 1:
            raise UserError(f"model.method.rank is {self.rank}; expected 1 or more")

    def group(self, name: str) -> str:
        return "shared rule" if name == SHARED_RULE else super().group(name)
