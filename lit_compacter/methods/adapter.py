"""Bottleneck adapters (Houlsby et al., 2019); the base of the family that differs in *where* and *which linear*."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from torch import nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import STACKS, WHERE, Stack, Where, attach, depth, sites, width
from lit_compacter.errors import UserError
from lit_compacter.layers import Bottleneck
from lit_compacter.methods.base import Method
from lit_compacter.methods.layer_norms import LayerNorms

LINEAR_STD = 0.01  # of a new dense adapter weight, as in the reference


@dataclass
class Adapter(Method):
    """Bottleneck adapters with dense linears: 4Lkd weights over L blocks of both stacks.

    Besides, as in every adapter of this family, 2L(k + d) biases and all layer norms are trained.

    Pfeiffer's variant, as the paper configures it, is where=[attention]; AdapterDrop is layers=[5, …, 11].
    """

    reduction: int = 32
    """Model dimension divided by the bottleneck (T5-base: 768 / 32 = 24). The paper searches 8, 16 and 32."""
    where: tuple[Where, ...] = WHERE
    """Sublayers that get an adapter: attention (self-attention), cross_attention and feed_forward."""
    layers: tuple[int, ...] | None = None
    """Indices of the blocks that get adapters, from 0, in each stack. Default: all."""
    stacks: tuple[Stack, ...] = STACKS
    """Encoder, decoder or both."""

    def inject(self, model: T5ForConditionalGeneration) -> None:
        self.check_places(model)
        bottleneck = self.bottleneck(width(model))
        linear = self.linear_factory(model)
        for site in sites(model, self.where, self.layers, self.stacks):
            attach(site.module, "adapter", Bottleneck(linear(site.dim, bottleneck), linear(bottleneck, site.dim)))
        LayerNorms().inject(model)

    def check_places(self, model: T5ForConditionalGeneration) -> None:
        """Raise UserError where `where`, `layers` and `stacks` name a place twice, one that is none, or none at all."""
        known = {"where": get_args(Where), "stacks": STACKS}
        for name, chosen in (("where", self.where), ("stacks", self.stacks)):
            if not chosen or len(set(chosen)) < len(chosen):
                expected = ", ".join(known[name])
                raise UserError(f"model.method.{name} is {list(chosen)}; expected one or more of {expected}, each once")
        last = max(depth(model, stack) for stack in self.stacks) - 1
        if self.layers is not None and (
            not self.layers or len(set(self.layers)) < len(self.layers) or not set(self.layers) <= set(range(last + 1))
        ):
            raise UserError(
                f"model.method.layers is {list(self.layers)}; expected some of 0 to {last}, each once, or null for all"
            )
        if not list(sites(model, self.where, self.layers, self.stacks)):
            raise UserError(
                f"model.method.where {list(self.where)} in stacks {list(self.stacks)}, layers {self.layers}, is "
                "no place of this model; an encoder has no cross_attention, and stacks may differ in blocks"
            )

    def bottleneck(self, dim: int) -> int:
        """d, the width of the bottleneck for a model of width `dim`."""
        if not 1 <= self.reduction <= dim:
            raise UserError(
                f"model.method.reduction is {self.reduction}; expected 1 to {dim}, the model dimension that it divides"
            )
        return dim // self.reduction

    def linear_factory(self, model: T5ForConditionalGeneration) -> Callable[[int, int], nn.Module]:
        """What builds the down and up projections from (in_features, out_features)."""

        def linear(in_features: int, out_features: int) -> nn.Module:
            layer = nn.Linear(in_features, out_features)
            nn.init.normal_(layer.weight, std=LINEAR_STD)
            nn.init.zeros_(layer.bias)
            return layer

        return linear

    def group(self, name: str) -> str:
        return "adapters" if ".adapter." in name else super().group(name)
