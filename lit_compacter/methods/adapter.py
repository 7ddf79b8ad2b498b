"""Bottleneck adapters (Houlsby et al., 2019), the base class of adapters with other sublayers or linear layers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, get_args

from torch import nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import DEFAULT_SUBLAYERS, STACKS, Stack, Sublayer, attach, d_model, num_blocks, sites
from lit_compacter.errors import UserError
from lit_compacter.layers import Bottleneck
from lit_compacter.layers.bottleneck import NonLinearity
from lit_compacter.methods.base import Method
from lit_compacter.methods.layer_norms import LayerNorms

LINEAR_STD = 0.01  # of a new adapter weight, as in the paper's code


@dataclass
class Adapter(Method):
    """Bottleneck adapters with dense linear layers: 4Lkd weights over L blocks of both stacks.

    Every adapter of this family also trains 2L(k + d) biases and all layer norms.

    Pfeiffer's variant, as the paper configures it, is sublayers=[self_attention]; AdapterDrop is layers=[5, …, 11].
    """

    NAME: ClassVar[str] = "adapter"  # of the submodule of each site
    BOTTLENECK: ClassVar[type[Bottleneck]] = Bottleneck

    reduction_factor: int = 32
    """Model dimension divided by the bottleneck (T5-base: 768 / 32 = 24). The paper searches 8, 16 and 32."""
    sublayers: tuple[Sublayer, ...] = DEFAULT_SUBLAYERS
    """Sublayers that get an adapter: self_attention, cross_attention and feed_forward."""
    layers: tuple[int, ...] | None = None
    """Indices of the blocks that get adapters, from 0, in each stack. Default: all."""
    stacks: tuple[Stack, ...] = STACKS
    """Encoder, decoder or both."""
    non_linearity: NonLinearity = "gelu_new"
    """Activation in the bottleneck: gelu_new (the tanh approximation, as in the paper's code), gelu, relu or silu."""

    def check(self, skeleton: T5ForConditionalGeneration) -> None:
        self.apply(skeleton)

    def inject(self, model: T5ForConditionalGeneration) -> None:
        self.check_sites(model)
        bottleneck = self.bottleneck(d_model(model))
        linear = self.linear_factory(model)
        for site in sites(model, self.sublayers, self.layers, self.stacks):
            down, up = linear(site.dim, bottleneck), linear(bottleneck, site.dim)
            attach(site.module, self.NAME, self.BOTTLENECK(down, up, self.non_linearity))
        LayerNorms().inject(model)

    def check_sites(self, model: T5ForConditionalGeneration) -> None:
        """Raise UserError if `sublayers`, `layers` or `stacks` are empty, repeat a value or do not exist."""
        for name, chosen, kind in (("sublayers", self.sublayers, Sublayer), ("stacks", self.stacks, Stack)):
            known = get_args(kind)
            if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
                raise UserError(
                    f"model.method.{name} is {list(chosen)}; expected one or more of {', '.join(known)}, each once"
                )
        last = max(num_blocks(model, stack) for stack in self.stacks) - 1
        if self.layers is not None and (
            not self.layers or len(set(self.layers)) < len(self.layers) or not set(self.layers) <= set(range(last + 1))
        ):
            raise UserError(
                f"model.method.layers is {list(self.layers)}; expected some of 0 to {last}, each once, or null for all"
            )
        if not list(sites(model, self.sublayers, self.layers, self.stacks)):
            raise UserError(
                f"model.method.sublayers {list(self.sublayers)} in stacks {list(self.stacks)}, layers {self.layers}, "
                "do not exist in this model; an encoder has no cross_attention, and stacks may differ in blocks"
            )

    def bottleneck(self, dim: int) -> int:
        """d, the bottleneck dimension for the model dimension `dim`."""
        if not 1 <= self.reduction_factor <= dim:
            raise UserError(
                f"model.method.reduction_factor is {self.reduction_factor}; expected 1 to {dim}, the model dimension "
                "that it divides"
            )
        return dim // self.reduction_factor

    def linear_factory(self, model: T5ForConditionalGeneration) -> Callable[[int, int], nn.Module]:
        """A function that builds a down or up projection from (in_features, out_features)."""

        def linear(in_features: int, out_features: int) -> nn.Module:
            layer = nn.Linear(in_features, out_features)
            nn.init.normal_(layer.weight, std=LINEAR_STD)
            nn.init.zeros_(layer.bias)
            return layer

        return linear

    def summary_group(self, name: str) -> str:
        return "adapters" if ".adapter." in name else super().summary_group(name)
