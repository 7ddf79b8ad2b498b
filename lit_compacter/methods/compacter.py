"""Compacter (Karimi Mahabadi et al., 2021): adapters with low-rank hypercomplex linear layers and a shared rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import d_model
from lit_compacter.errors import UserError
from lit_compacter.layers import Bottleneck, PHMBottleneck, PHMLinear, PHMRule
from lit_compacter.layers.phm import OWN_RULE_STD, SHARED_RULE_STD, Init
from lit_compacter.methods.adapter import Adapter

SHARED_RULE = "phm_rule"  # the one rule {A_i}, at the top of the model


@dataclass
class Compacter(Adapter):
    """Adapters whose linear layers are y = x Σ_i A_i ⊗ (s_i t_iᵀ) + b, with one rule {A_i} for the whole model.

    4L(k + d) + n³ adapter weights over L blocks (at rank 1). Compacter++ is sublayers=[feed_forward]; PHM-Adapter is
    phm_rank=null, shared_phm_rule=false: 4L(kd/n + n³) weights.
    """

    BOTTLENECK: ClassVar[type[Bottleneck]] = PHMBottleneck

    phm_dim: int = 4
    """n, the number of Kronecker terms; must divide the model dimension and the bottleneck. The paper: 4, 8 and 12."""
    phm_rank: int | None = 1
    """r, the rank of each Kronecker factor B_i = s_i t_iᵀ; null for dense B_i."""
    shared_phm_rule: bool = True
    """Share one rule {A_i} in the whole model ("slow" weights). False gives each linear layer its own rule."""
    factorized_phm_rule: bool = False
    """Factorize the rule, A_i = l_i r_iᵀ: 2n² parameters instead of n³."""
    learn_phm_rule: bool = True
    """Train the rule. False keeps its initial values, which are still saved."""
    shared_factors: bool = False
    """Share one set of B_i ("fast" weights) among all down projections, and another among all up projections. Biases
    are not shared."""
    init: Init = "xavier_uniform"
    """Initialization of the factors: xavier_uniform or xavier_normal, with gain √2, or normal, with std 0.01."""

    def linear_factory(self, model: T5ForConditionalGeneration) -> Callable[[int, int], nn.Module]:
        self.check_dimensions(d_model(model))
        shared = self.make_rule(SHARED_RULE_STD) if self.shared_phm_rule else None
        for name, tensor in shared.named_parameters() if shared else ():
            # Registered at the top of the model, so that a checkpoint has only this name for it.
            model.register_parameter(SHARED_RULE if name == "weight" else f"{SHARED_RULE}_{name}", tensor)
        first: dict[tuple[int, int], PHMLinear] = {}  # the first layer of each shape; the others share its factors

        def linear(in_features: int, out_features: int) -> nn.Module:
            rule = shared or self.make_rule(OWN_RULE_STD)
            share_with = first.get((in_features, out_features)) if self.shared_factors else None
            layer = PHMLinear(in_features, out_features, self.phm_dim, self.phm_rank, rule, self.init, share_with)
            first.setdefault((in_features, out_features), layer)
            return layer

        return linear

    def make_rule(self, std: float) -> PHMRule:
        """Build a rule from the options."""
        return PHMRule(self.phm_dim, std, self.factorized_phm_rule).requires_grad_(self.learn_phm_rule)

    def check_dimensions(self, dim: int) -> None:
        """Raise UserError if the options do not fit the model dimension `dim`."""
        bottleneck = self.bottleneck(dim)
        divisors = [n for n in range(1, bottleneck + 1) if dim % n == 0 and bottleneck % n == 0]
        if self.phm_dim not in divisors:
            raise UserError(
                f"model.method.phm_dim {self.phm_dim} does not divide both the model dimension {dim} and the "
                f"bottleneck {bottleneck} (= {dim} / reduction_factor {self.reduction_factor}); "
                f"choose one of {', '.join(map(str, divisors))}"
            )
        if self.shared_factors and bottleneck == dim:
            raise UserError("model.method.shared_factors needs a reduction_factor above 1, or down and up would share")
        full = bottleneck // self.phm_dim
        if self.phm_rank is not None and not 1 <= self.phm_rank <= full:
            raise UserError(
                f"model.method.phm_rank is {self.phm_rank}; expected 1 to {full}, a factor's full rank, or null for "
                "dense factors"
            )

    def summary_group(self, name: str) -> str:
        return "shared rule" if name.startswith(SHARED_RULE) else super().summary_group(name)
